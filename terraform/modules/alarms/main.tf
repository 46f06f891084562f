locals {
  dimensions = { Deployment = var.prefix }

  # Alarms on one metric. Each is named after its section in the runbook.
  #
  # Missing data: `ignore` for metrics that the project publishes every minute, so the alarm keeps its state while they are
  # missing (which has its own alarm); `notBreaching` for metrics that have data points only when something happened.
  single = {
    dead-letters = {
      text        = "Messages ended up in the dead-letter queue; their jobs got an error as their result."
      namespace   = var.metric_namespace
      metric      = "DeadLetters"
      dimensions  = local.dimensions
      statistic   = "Sum"
      over        = 0
      minutes     = 1
      when_absent = "notBreaching"
    }
    dead-letters-failing = {
      text        = "The dead-letters function fails on messages, which are redelivered again and again; callers wait in vain."
      namespace   = var.metric_namespace
      metric      = "DeadLettersFailed"
      dimensions  = local.dimensions
      statistic   = "Sum"
      over        = 0
      minutes     = 10
      when_absent = "notBreaching"
      # A message is redelivered after the queue's visibility timeout of three minutes, and may succeed then.
      data_points = 2
    }
    oldest-job-age = {
      text        = "The oldest job has been waiting for more than ${var.oldest_job_age_seconds} seconds."
      namespace   = var.metric_namespace
      metric      = "OldestJobAgeSeconds"
      dimensions  = local.dimensions
      statistic   = "Maximum"
      over        = var.oldest_job_age_seconds
      minutes     = 5
      when_absent = "ignore"
    }
    unserved-labels = {
      text        = "For 10 minutes, labels have had work but no consumer that holds them."
      namespace   = var.metric_namespace
      metric      = "UnservedLabels"
      dimensions  = local.dimensions
      statistic   = "Minimum"
      over        = 0
      minutes     = 10
      when_absent = "ignore"
    }
    failing-labels = {
      text        = "The models of some labels cannot be loaded; jobs of these labels fail."
      namespace   = var.metric_namespace
      metric      = "FailingLabels"
      dimensions  = local.dimensions
      statistic   = "Maximum"
      over        = 0
      minutes     = 5
      when_absent = "ignore"
    }
  }

  # Alarms on an expression over several metrics, which is 1 while something is wrong.
  combined = {
    dead-letter-queue-not-drained = {
      text       = "The dead-letter queue has not been empty for 15 minutes: the dead-letters function does not receive the messages or fails on them, and callers wait in vain."
      expression = "IF(visible + hidden > 0, 1, 0)"
      namespace  = "AWS/SQS"
      # A message that the function fails on is hidden until it is redelivered.
      metrics     = { visible = "ApproximateNumberOfMessagesVisible", hidden = "ApproximateNumberOfMessagesNotVisible" }
      dimensions  = { QueueName = var.dead_letter_queue_name }
      statistic   = "Minimum"
      minutes     = 15
      when_absent = "notBreaching"
    }
    no-consumer = {
      text        = "For 10 minutes there has been work but no running consumer: tasks do not start, or die at once."
      expression  = "IF(visible > 0 AND running < 1, 1, 0)"
      namespace   = var.metric_namespace
      metrics     = { visible = "JobsVisible", running = "RunningTasks" }
      dimensions  = local.dimensions
      statistic   = "Maximum"
      minutes     = 10
      when_absent = "ignore"
    }
    at-maximum-capacity = {
      text        = "For 15 minutes all ${var.max_tasks} tasks have been running with the backlog over its target: the work needs more capacity than allowed."
      expression  = "IF(running >= ${var.max_tasks} AND backlog > ${var.target_backlog_seconds}, 1, 0)"
      namespace   = var.metric_namespace
      metrics     = { running = "RunningTasks", backlog = "BacklogSecondsPerTask" }
      dimensions  = local.dimensions
      statistic   = "Maximum"
      minutes     = 15
      when_absent = "ignore"
    }
  }

  gateway_errors_percent = 5

  # Messages received three times or more do not count (SQS Developer Guide, "Available CloudWatch metrics"): the alarm detects
  # a function that does not take deliveries, not receivers that fail.
  webhooks_late_minutes   = 30
  webhooks_behind_minutes = 10

  throttles = {
    for pair in setproduct(var.table_names, ["ReadThrottleEvents", "WriteThrottleEvents"]) :
    "${pair[0]}-${pair[1]}" => { table = pair[0], metric = pair[1] }
  }
}

################################################################################
# Backlog
################################################################################

resource "aws_cloudwatch_metric_alarm" "single" {
  for_each = local.single

  alarm_name          = "${var.prefix}-${each.key}"
  alarm_description   = "${each.value.text} Runbook: ${var.runbook_url}#${each.key}"
  namespace           = each.value.namespace
  metric_name         = each.value.metric
  dimensions          = each.value.dimensions
  statistic           = each.value.statistic
  period              = 60
  evaluation_periods  = each.value.minutes
  datapoints_to_alarm = try(each.value.data_points, each.value.minutes)
  comparison_operator = "GreaterThanThreshold"
  threshold           = each.value.over
  treat_missing_data  = each.value.when_absent
  alarm_actions       = var.topic_arns
  ok_actions          = var.topic_arns

  tags = var.tags
}

resource "aws_cloudwatch_metric_alarm" "combined" {
  for_each = local.combined

  alarm_name          = "${var.prefix}-${each.key}"
  alarm_description   = "${each.value.text} Runbook: ${var.runbook_url}#${each.key}"
  evaluation_periods  = each.value.minutes
  comparison_operator = "GreaterThanOrEqualToThreshold"
  threshold           = 1
  treat_missing_data  = each.value.when_absent
  alarm_actions       = var.topic_arns
  ok_actions          = var.topic_arns

  metric_query {
    id          = "wrong"
    expression  = each.value.expression
    label       = each.key
    return_data = true
  }

  dynamic "metric_query" {
    for_each = each.value.metrics
    content {
      id = metric_query.key

      metric {
        namespace   = each.value.namespace
        metric_name = metric_query.value
        dimensions  = each.value.dimensions
        stat        = each.value.statistic
        period      = 60
      }
    }
  }

  tags = var.tags
}

resource "aws_cloudwatch_metric_alarm" "metrics_missing" {
  alarm_name          = "${var.prefix}-backlog-metrics-missing"
  alarm_description   = "The backlog has not been measured for 5 minutes: autoscaling stands still, and alarms on the backlog have no data. Runbook: ${var.runbook_url}#backlog-metrics-missing"
  namespace           = var.metric_namespace
  metric_name         = "BacklogSeconds"
  dimensions          = local.dimensions
  statistic           = "SampleCount"
  period              = 60
  evaluation_periods  = 5
  comparison_operator = "LessThanThreshold"
  threshold           = 1
  # This alarm detects missing data.
  treat_missing_data = "breaching"
  alarm_actions      = var.topic_arns
  ok_actions         = var.topic_arns

  tags = var.tags
}

################################################################################
# Lambdas and tables
################################################################################

resource "aws_cloudwatch_metric_alarm" "lambda_errors" {
  for_each = var.function_names

  alarm_name          = "${each.value}-errors"
  alarm_description   = "The function ${each.value} fails. Runbook: ${var.runbook_url}#lambda-errors"
  namespace           = "AWS/Lambda"
  metric_name         = "Errors"
  dimensions          = { FunctionName = each.value }
  statistic           = "Sum"
  period              = 60
  evaluation_periods  = 5
  datapoints_to_alarm = 2
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  # A function that does not run does not fail.
  treat_missing_data = "notBreaching"
  alarm_actions      = var.topic_arns
  ok_actions         = var.topic_arns

  tags = var.tags
}

resource "aws_cloudwatch_metric_alarm" "throttles" {
  for_each = local.throttles

  alarm_name          = "${var.prefix}-throttled-tables-${each.key}"
  alarm_description   = "DynamoDB throttles requests to ${each.value.table} (${each.value.metric}). Runbook: ${var.runbook_url}#throttled-tables"
  namespace           = "AWS/DynamoDB"
  metric_name         = each.value.metric
  dimensions          = { TableName = each.value.table }
  statistic           = "Sum"
  period              = 60
  evaluation_periods  = 5
  datapoints_to_alarm = 3
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  # DynamoDB publishes data points only when it throttles.
  treat_missing_data = "notBreaching"
  alarm_actions      = var.topic_arns
  ok_actions         = var.topic_arns

  tags = var.tags
}

################################################################################
# Gateway and webhooks, if enabled
################################################################################

resource "aws_cloudwatch_metric_alarm" "gateway_errors" {
  count = var.gateway == null ? 0 : 1

  alarm_name          = "${var.prefix}-gateway-errors"
  alarm_description   = "More than ${local.gateway_errors_percent} % of the gateway's responses were server errors (5xx), in 5 of 10 minutes. Runbook: ${var.runbook_url}#gateway-errors"
  evaluation_periods  = 10
  datapoints_to_alarm = 5
  comparison_operator = "GreaterThanThreshold"
  threshold           = local.gateway_errors_percent
  # Without requests there is nothing to count.
  treat_missing_data = "notBreaching"
  alarm_actions      = var.topic_arns
  ok_actions         = var.topic_arns

  # The load balancer counts a request that finds no task as an error, but not as a request. Fewer than 5 errors a minute are
  # no alarm.
  metric_query {
    id          = "share"
    expression  = "IF(errors >= 5, 100 * errors / MAX([FILL(requests, 0), errors]), 0)"
    label       = "errors of 100 requests"
    return_data = true
  }

  metric_query {
    id         = "errors"
    expression = "FILL(gateway, 0) + FILL(balancer, 0)"
    label      = "errors"
  }

  dynamic "metric_query" {
    for_each = {
      requests = "RequestCount"
      gateway  = "HTTPCode_Target_5XX_Count"
      balancer = "HTTPCode_ELB_5XX_Count"
    }
    content {
      id = metric_query.key

      metric {
        namespace   = "AWS/ApplicationELB"
        metric_name = metric_query.value
        dimensions  = { LoadBalancer = var.gateway.load_balancer }
        stat        = "Sum"
        period      = 60
      }
    }
  }

  tags = var.tags
}

resource "aws_cloudwatch_metric_alarm" "gateway_unhealthy" {
  count = var.gateway == null ? 0 : 1

  alarm_name          = "${var.prefix}-gateway-unhealthy"
  alarm_description   = "For 5 minutes, gateway tasks have been unhealthy, or there has been no healthy one. Runbook: ${var.runbook_url}#gateway-unhealthy"
  evaluation_periods  = 5
  comparison_operator = "GreaterThanOrEqualToThreshold"
  threshold           = 1
  # A target group without targets publishes nothing.
  treat_missing_data = "breaching"
  alarm_actions      = var.topic_arns
  ok_actions         = var.topic_arns

  metric_query {
    id          = "wrong"
    expression  = "IF(unhealthy > 0 OR healthy < 1, 1, 0)"
    label       = "gateway-unhealthy"
    return_data = true
  }

  dynamic "metric_query" {
    for_each = { unhealthy = "UnHealthyHostCount", healthy = "HealthyHostCount" }
    content {
      id = metric_query.key

      metric {
        namespace   = "AWS/ApplicationELB"
        metric_name = metric_query.value
        dimensions  = { LoadBalancer = var.gateway.load_balancer, TargetGroup = var.gateway.target_group }
        # Each node of the load balancer reports what it sees from its zone. The best value counts: only a task that no node
        # reaches is gone.
        stat   = metric_query.key == "healthy" ? "Maximum" : "Minimum"
        period = 60
      }
    }
  }

  tags = var.tags
}

resource "aws_cloudwatch_metric_alarm" "gateway_slow" {
  count = var.gateway == null ? 0 : 1

  alarm_name          = "${var.prefix}-gateway-slow"
  alarm_description   = "The slowest hundredth of the gateway's responses took more than ${var.gateway.slow_seconds} seconds, in 10 of 15 minutes. Runbook: ${var.runbook_url}#gateway-slow"
  namespace           = "AWS/ApplicationELB"
  metric_name         = "TargetResponseTime"
  dimensions          = { LoadBalancer = var.gateway.load_balancer, TargetGroup = var.gateway.target_group }
  extended_statistic  = "p99"
  period              = 60
  evaluation_periods  = 15
  datapoints_to_alarm = 10
  comparison_operator = "GreaterThanThreshold"
  threshold           = var.gateway.slow_seconds
  # With few requests, a single slow one is not a hundredth.
  evaluate_low_sample_count_percentiles = "ignore"
  treat_missing_data                    = "notBreaching"
  alarm_actions                         = var.topic_arns
  ok_actions                            = var.topic_arns

  tags = var.tags
}

resource "aws_cloudwatch_metric_alarm" "webhooks_dead" {
  count = var.webhooks == null ? 0 : 1

  alarm_name          = "${var.prefix}-webhooks-dead"
  alarm_description   = "Callers were not notified that their jobs ended: deliveries were given up. Runbook: ${var.runbook_url}#webhooks-dead"
  namespace           = "AWS/SQS"
  metric_name         = "ApproximateNumberOfMessagesVisible"
  dimensions          = { QueueName = var.webhooks.dead_queue_name }
  statistic           = "Maximum"
  period              = 60
  evaluation_periods  = 1
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  # SQS publishes nothing for a queue that has been unused for six hours.
  treat_missing_data = "notBreaching"
  alarm_actions      = var.topic_arns
  ok_actions         = var.topic_arns

  tags = var.tags
}

resource "aws_cloudwatch_metric_alarm" "webhooks_late" {
  count = var.webhooks == null ? 0 : 1

  alarm_name          = "${var.prefix}-webhooks-late"
  alarm_description   = "The oldest delivery to a callback URL has been in its queue for more than ${local.webhooks_late_minutes} minutes. Runbook: ${var.runbook_url}#webhooks-late"
  namespace           = "AWS/SQS"
  metric_name         = "ApproximateAgeOfOldestMessage"
  dimensions          = { QueueName = var.webhooks.queue_name }
  statistic           = "Maximum"
  period              = 60
  evaluation_periods  = 5
  comparison_operator = "GreaterThanThreshold"
  threshold           = local.webhooks_late_minutes * 60
  # SQS publishes nothing for a queue that has been unused for six hours.
  treat_missing_data = "notBreaching"
  alarm_actions      = var.topic_arns
  ok_actions         = var.topic_arns

  tags = var.tags
}

resource "aws_cloudwatch_metric_alarm" "webhooks_behind" {
  count = var.webhooks == null ? 0 : 1

  alarm_name         = "${var.prefix}-webhooks-behind"
  alarm_description  = "The webhooks function reads changes to job records more than ${local.webhooks_behind_minutes} minutes late. Runbook: ${var.runbook_url}#webhooks-behind"
  namespace          = "AWS/Lambda"
  metric_name        = "IteratorAge"
  dimensions         = { FunctionName = var.webhooks.function_name }
  statistic          = "Maximum"
  period             = 60
  evaluation_periods = 5
  # There is a data point only when the function runs, and it runs less and less often while it fails.
  datapoints_to_alarm = 1
  comparison_operator = "GreaterThanThreshold"
  # In milliseconds.
  threshold          = local.webhooks_behind_minutes * 60 * 1000
  treat_missing_data = "notBreaching"
  alarm_actions      = var.topic_arns
  ok_actions         = var.topic_arns

  tags = var.tags
}
