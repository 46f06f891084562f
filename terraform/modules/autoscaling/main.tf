locals {
  dimensions = { Deployment = var.deployment }

  # Across all schedules: a service that only a schedule scales to zero must wake from zero too.
  lowest_capacity = min(var.scaling.min_capacity, values(var.scaling.schedules)[*].min_capacity...)
}

resource "aws_appautoscaling_target" "this" {
  service_namespace  = "ecs"
  scalable_dimension = "ecs:service:DesiredCount"
  resource_id        = "service/${var.cluster_name}/${var.service_name}"
  min_capacity       = var.scaling.min_capacity
  max_capacity       = var.scaling.max_capacity

  tags = var.tags
}

################################################################################
# Between one task and max_capacity: seconds of backlog per desired task
################################################################################

resource "aws_appautoscaling_policy" "backlog" {
  name               = "${var.service_name}-backlog"
  policy_type        = "TargetTrackingScaling"
  service_namespace  = aws_appautoscaling_target.this.service_namespace
  scalable_dimension = aws_appautoscaling_target.this.scalable_dimension
  resource_id        = aws_appautoscaling_target.this.resource_id

  target_tracking_scaling_policy_configuration {
    target_value       = var.scaling.target_backlog_seconds
    scale_in_cooldown  = var.scaling.scale_in_cooldown_seconds
    scale_out_cooldown = var.scaling.scale_out_cooldown_seconds

    # Per desired, not per running task: otherwise tasks that are still starting would be requested again and again.
    customized_metric_specification {
      namespace   = var.metric_namespace
      metric_name = "BacklogSecondsPerDesiredTask"
      statistic   = "Average"

      dimensions {
        name  = "Deployment"
        value = var.deployment
      }
    }
  }
}

################################################################################
# From zero: target tracking multiplies the task count, and zero stays zero
################################################################################

resource "aws_appautoscaling_policy" "wake" {
  count = local.lowest_capacity == 0 ? 1 : 0

  name               = "${var.service_name}-wake"
  policy_type        = "StepScaling"
  service_namespace  = aws_appautoscaling_target.this.service_namespace
  scalable_dimension = aws_appautoscaling_target.this.scalable_dimension
  resource_id        = aws_appautoscaling_target.this.resource_id

  step_scaling_policy_configuration {
    adjustment_type         = "ExactCapacity"
    metric_aggregation_type = "Maximum"
    cooldown                = var.scaling.scale_out_cooldown_seconds

    step_adjustment {
      metric_interval_lower_bound = 0
      scaling_adjustment          = var.scaling.wake_tasks
    }
  }
}

resource "aws_cloudwatch_metric_alarm" "wake" {
  count = local.lowest_capacity == 0 ? 1 : 0

  alarm_name          = "${var.service_name}-wake"
  alarm_description   = "There is work, and no task is running or starting: the service scales from zero. This is not a fault."
  namespace           = var.metric_namespace
  metric_name         = "RequiresConsumer"
  dimensions          = local.dimensions
  statistic           = "Maximum"
  period              = 60
  evaluation_periods  = 1
  comparison_operator = "GreaterThanOrEqualToThreshold"
  threshold           = 1
  # A missing measurement is no reason to start tasks; it has its own alarm.
  treat_missing_data = "notBreaching"
  alarm_actions      = [aws_appautoscaling_policy.wake[0].arn]

  tags = var.tags
}

################################################################################
# Schedules
################################################################################

resource "aws_appautoscaling_scheduled_action" "this" {
  for_each = var.scaling.schedules

  name               = "${var.service_name}-${each.key}"
  service_namespace  = aws_appautoscaling_target.this.service_namespace
  scalable_dimension = aws_appautoscaling_target.this.scalable_dimension
  resource_id        = aws_appautoscaling_target.this.resource_id
  schedule           = each.value.schedule
  timezone           = each.value.timezone

  scalable_target_action {
    min_capacity = each.value.min_capacity
    max_capacity = each.value.max_capacity
  }
}
