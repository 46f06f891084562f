locals {
  dimensions = { Deployment = var.prefix }

  # Alarms on one metric. Each is named after its section in the runbook.
  #
  # About missing data: `ignore` where a metric of ours is published every minute, so that the alarm keeps its state while
  # nothing is known (that nothing is known has an alarm of its own); `notBreaching` where there is a data point only
  # when something happened.
  single = {
    dead-letters = {
      text        = "Messages ended in the dead-letter queue; their jobs were given an error as result."
      namespace   = var.metric_namespace
      metric      = "DeadLetters"
      dimensions  = local.dimensions
      statistic   = "Sum"
      over        = 0
      minutes     = 1
      when_absent = "notBreaching"
    }
    dead-letters-failing = {
      text        = "The dead-letters function cannot deal with messages, which come again and again; callers wait for nothing."
      namespace   = var.metric_namespace
      metric      = "DeadLettersFailed"
      dimensions  = local.dimensions
      statistic   = "Sum"
      over        = 0
      minutes     = 10
      when_absent = "notBreaching"
      # A message comes again after the queue's visibility timeout of three minutes; what fails once may go well then.
      data_points = 2
    }
    oldest-job-age = {
      text        = "The oldest job has waited for more than ${var.oldest_job_age_seconds} seconds."
      namespace   = var.metric_namespace
      metric      = "OldestJobAgeSeconds"
      dimensions  = local.dimensions
      statistic   = "Maximum"
      over        = var.oldest_job_age_seconds
      minutes     = 5
      when_absent = "ignore"
    }
    unserved-labels = {
      text        = "For 10 minutes there have been labels with work that no consumer holds."
      namespace   = var.metric_namespace
      metric      = "UnservedLabels"
      dimensions  = local.dimensions
      statistic   = "Minimum"
      over        = 0
      minutes     = 10
      when_absent = "ignore"
    }
    failing-labels = {
      text        = "Models of some labels cannot be loaded; the labels' jobs fail."
      namespace   = var.metric_namespace
      metric      = "FailingLabels"
      dimensions  = local.dimensions
      statistic   = "Maximum"
      over        = 0
      minutes     = 5
      when_absent = "ignore"
    }
  }

  # Alarms on an expression of several metrics, which is 1 while something is wrong.
  combined = {
    dead-letter-queue-not-drained = {
      text       = "For 15 minutes there have been messages in the dead-letter queue: the dead-letters function does not take them or fails, and callers wait for nothing."
      expression = "IF(visible + hidden > 0, 1, 0)"
      namespace  = "AWS/SQS"
      # One that the function fails on is hidden until it comes again.
      metrics     = { visible = "ApproximateNumberOfMessagesVisible", hidden = "ApproximateNumberOfMessagesNotVisible" }
      dimensions  = { QueueName = var.dead_letter_queue_name }
      statistic   = "Minimum"
      minutes     = 15
      when_absent = "notBreaching"
    }
    no-consumer = {
      text        = "For 10 minutes there has been work and no running consumer: tasks do not start, or die at once."
      expression  = "IF(visible > 0 AND running < 1, 1, 0)"
      namespace   = var.metric_namespace
      metrics     = { visible = "JobsVisible", running = "RunningTasks" }
      dimensions  = local.dimensions
      statistic   = "Maximum"
      minutes     = 10
      when_absent = "ignore"
    }
    at-maximum-capacity = {
      text        = "For 15 minutes all ${var.max_tasks} tasks have run and the backlog is over its target: more capacity is needed than allowed."
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

  # What was received three times or more does not count (SQS Developer Guide, "Available CloudWatch metrics"): this is about a
  # function that does not take deliveries, not about receivers that fail.
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
  alarm_description   = "The backlog has not been measured for 5 minutes: nothing scales, and the other alarms are blind. Runbook: ${var.runbook_url}#backlog-metrics-missing"
  namespace           = var.metric_namespace
  metric_name         = "BacklogSeconds"
  dimensions          = local.dimensions
  statistic           = "SampleCount"
  period              = 60
  evaluation_periods  = 5
  comparison_operator = "LessThanThreshold"
  threshold           = 1
  # Missing data is what this alarm is about.
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
  # DynamoDB tells only of throttles that happened.
  treat_missing_data = "notBreaching"
  alarm_actions      = var.topic_arns
  ok_actions         = var.topic_arns

  tags = var.tags
}

################################################################################
# Gateway and webhooks, where there are any
################################################################################

resource "aws_cloudwatch_metric_alarm" "gateway_errors" {
  count = var.gateway == null ? 0 : 1

  alarm_name          = "${var.prefix}-gateway-errors"
  alarm_description   = "Of the gateway's answers, more than ${local.gateway_errors_percent} % have been errors of a server (5xx), in 5 of 10 minutes. Runbook: ${var.runbook_url}#gateway-errors"
  evaluation_periods  = 10
  datapoints_to_alarm = 5
  comparison_operator = "GreaterThanThreshold"
  threshold           = local.gateway_errors_percent
  # Without requests there is nothing to count.
  treat_missing_data = "notBreaching"
  alarm_actions      = var.topic_arns
  ok_actions         = var.topic_arns

  # Requests that find no task are no requests for the load balancer, but they are errors. A single one among few is no alarm.
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
  alarm_description   = "For 5 minutes tasks of the gateway have been unhealthy, or there has been none. Runbook: ${var.runbook_url}#gateway-unhealthy"
  evaluation_periods  = 5
  comparison_operator = "GreaterThanOrEqualToThreshold"
  threshold           = 1
  # A target group without targets is silent.
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
        # Of what the load balancer's nodes see, each from its zone, the best: what none of them reaches is gone.
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
  alarm_description   = "One of a hundred answers of the gateway has taken more than ${var.gateway.slow_seconds} seconds, in 10 of 15 minutes. Runbook: ${var.runbook_url}#gateway-slow"
  namespace           = "AWS/ApplicationELB"
  metric_name         = "TargetResponseTime"
  dimensions          = { LoadBalancer = var.gateway.load_balancer, TargetGroup = var.gateway.target_group }
  extended_statistic  = "p99"
  period              = 60
  evaluation_periods  = 15
  datapoints_to_alarm = 10
  comparison_operator = "GreaterThanThreshold"
  threshold           = var.gateway.slow_seconds
  # Of a few requests one is not one of a hundred.
  evaluate_low_sample_count_percentiles = "ignore"
  treat_missing_data                    = "notBreaching"
  alarm_actions                         = var.topic_arns
  ok_actions                            = var.topic_arns

  tags = var.tags
}

resource "aws_cloudwatch_metric_alarm" "webhooks_dead" {
  count = var.webhooks == null ? 0 : 1

  alarm_name          = "${var.prefix}-webhooks-dead"
  alarm_description   = "Callers were not told of the end of their jobs: deliveries were given up. Runbook: ${var.runbook_url}#webhooks-dead"
  namespace           = "AWS/SQS"
  metric_name         = "ApproximateNumberOfMessagesVisible"
  dimensions          = { QueueName = var.webhooks.dead_queue_name }
  statistic           = "Maximum"
  period              = 60
  evaluation_periods  = 1
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  # SQS is silent about a queue that nobody has used for six hours.
  treat_missing_data = "notBreaching"
  alarm_actions      = var.topic_arns
  ok_actions         = var.topic_arns

  tags = var.tags
}

resource "aws_cloudwatch_metric_alarm" "webhooks_late" {
  count = var.webhooks == null ? 0 : 1

  alarm_name          = "${var.prefix}-webhooks-late"
  alarm_description   = "The oldest delivery to a callback URL has been on its queue for more than ${local.webhooks_late_minutes} minutes. Runbook: ${var.runbook_url}#webhooks-late"
  namespace           = "AWS/SQS"
  metric_name         = "ApproximateAgeOfOldestMessage"
  dimensions          = { QueueName = var.webhooks.queue_name }
  statistic           = "Maximum"
  period              = 60
  evaluation_periods  = 5
  comparison_operator = "GreaterThanThreshold"
  threshold           = local.webhooks_late_minutes * 60
  # SQS is silent about a queue that nobody has used for six hours.
  treat_missing_data = "notBreaching"
  alarm_actions      = var.topic_arns
  ok_actions         = var.topic_arns

  tags = var.tags
}

resource "aws_cloudwatch_metric_alarm" "webhooks_behind" {
  count = var.webhooks == null ? 0 : 1

  alarm_name         = "${var.prefix}-webhooks-behind"
  alarm_description  = "The webhooks function reads changes of jobs more than ${local.webhooks_behind_minutes} minutes after they were made. Runbook: ${var.runbook_url}#webhooks-behind"
  namespace          = "AWS/Lambda"
  metric_name        = "IteratorAge"
  dimensions         = { FunctionName = var.webhooks.function_name }
  statistic          = "Maximum"
  period             = 60
  evaluation_periods = 5
  # There is a data point only when the function is run, which it is ever less often while it fails.
  datapoints_to_alarm = 1
  comparison_operator = "GreaterThanThreshold"
  # In milliseconds.
  threshold          = local.webhooks_behind_minutes * 60 * 1000
  treat_missing_data = "notBreaching"
  alarm_actions      = var.topic_arns
  ok_actions         = var.topic_arns

  tags = var.tags
}
