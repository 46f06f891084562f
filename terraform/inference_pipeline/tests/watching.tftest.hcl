mock_provider "aws" {
  source = "../mocks"
}

variables {
  prefix                 = "prod"
  metric_namespace       = "InferenceEngine"
  dead_letter_queue_name = "prod-dead-letters.fifo"
  table_names            = ["prod-jobs", "prod-registry"]
  function_names         = ["prod-backlog-metrics", "prod-dead-letters"]
  oldest_job_age_seconds = 900
  max_tasks              = 8
  target_backlog_seconds = 60

  gateway  = { load_balancer = "app/prod-gateway/0a", target_group = "targetgroup/prod-gateway/0a", slow_seconds = 60 }
  webhooks = { queue_name = "prod-webhooks", dead_queue_name = "prod-webhooks-dead", function_name = "prod-webhooks" }
}

run "every_alarm_tells_somebody_and_names_its_section_of_the_runbook" {
  module {
    source = "../modules/alarms"
  }

  variables {
    topic_arns  = ["arn:aws:sns:eu-central-1:123456789012:alarms"]
    runbook_url = "https://example.org/runbook.html"
  }

  assert {
    condition     = alltrue([for text in values(output.descriptions) : can(regex("Runbook: https://example.org/runbook.html#[a-z-]+$", text))])
    error_message = "An alarm does not say where its section of the runbook is."
  }

  assert {
    condition = toset([for text in values(output.descriptions) : regex("#([a-z-]+)$", text)[0]]) == toset([
      "dead-letters", "dead-letters-failing", "dead-letter-queue-not-drained", "oldest-job-age", "unserved-labels", "failing-labels", "no-consumer",
      "backlog-metrics-missing", "lambda-errors", "throttled-tables", "at-maximum-capacity",
      "gateway-errors", "gateway-unhealthy", "gateway-slow", "webhooks-dead", "webhooks-late", "webhooks-behind",
    ])
    error_message = "The runbook has a section for each of these, and for no other."
  }

  assert {
    condition = alltrue([
      for alarm in concat(
        values(aws_cloudwatch_metric_alarm.single), values(aws_cloudwatch_metric_alarm.combined), values(aws_cloudwatch_metric_alarm.lambda_errors),
        values(aws_cloudwatch_metric_alarm.throttles), [aws_cloudwatch_metric_alarm.metrics_missing],
        aws_cloudwatch_metric_alarm.gateway_errors, aws_cloudwatch_metric_alarm.gateway_unhealthy,
        aws_cloudwatch_metric_alarm.gateway_slow, aws_cloudwatch_metric_alarm.webhooks_dead,
        aws_cloudwatch_metric_alarm.webhooks_late, aws_cloudwatch_metric_alarm.webhooks_behind,
      ) : tolist(alarm.alarm_actions) == tolist(["arn:aws:sns:eu-central-1:123456789012:alarms"])
    ])
    error_message = "An alarm tells nobody."
  }
}

run "silence_of_the_metrics_is_an_alarm" {
  module {
    source = "../modules/alarms"
  }

  variables {
    runbook_url = "runbook"
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.metrics_missing.treat_missing_data == "breaching"
    error_message = "Missing data must raise the alarm that is about missing data."
  }

  assert {
    condition     = alltrue([for alarm in values(aws_cloudwatch_metric_alarm.single) : contains(["ignore", "notBreaching"], alarm.treat_missing_data)])
    error_message = "Missing data has one alarm, not all of them."
  }
}

run "thresholds" {
  module {
    source = "../modules/alarms"
  }

  variables {
    runbook_url = "runbook"
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.single["oldest-job-age"].threshold == 900 && aws_cloudwatch_metric_alarm.single["dead-letters"].threshold == 0
    error_message = "Thresholds are other than asked for."
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.combined["dead-letter-queue-not-drained"].evaluation_periods == 15 && aws_cloudwatch_metric_alarm.single["unserved-labels"].evaluation_periods == 10
    error_message = "Alarms wait for another number of minutes than documented."
  }

  assert {
    condition = one([
      for query in aws_cloudwatch_metric_alarm.combined["at-maximum-capacity"].metric_query : query.expression if query.id == "wrong"
    ]) == "IF(running >= 8 AND backlog > 60, 1, 0)"
    error_message = "All tasks run and the backlog is over its target."
  }

  assert {
    condition = one([
      for query in aws_cloudwatch_metric_alarm.combined["dead-letter-queue-not-drained"].metric_query : query.expression if query.id == "wrong"
    ]) == "IF(visible + hidden > 0, 1, 0)"
    error_message = "Messages that the function fails on are hidden most of the time."
  }

  assert {
    condition = toset(flatten([
      for query in aws_cloudwatch_metric_alarm.combined["dead-letter-queue-not-drained"].metric_query :
      [for metric in query.metric : "${metric.namespace} ${metric.stat} ${metric.dimensions["QueueName"]}"]
    ])) == toset(["AWS/SQS Minimum prod-dead-letters.fifo"])
    error_message = "SQS counts the messages of the dead-letter queue."
  }

  assert {
    condition = (
      aws_cloudwatch_metric_alarm.single["dead-letters-failing"].datapoints_to_alarm == 2
      && aws_cloudwatch_metric_alarm.single["dead-letters-failing"].evaluation_periods == 10
      && aws_cloudwatch_metric_alarm.single["unserved-labels"].datapoints_to_alarm == 10
    )
    error_message = "A message comes again after three minutes: ten have to show two failures of it; other alarms want all their minutes."
  }

  assert {
    condition     = keys(aws_cloudwatch_metric_alarm.throttles) == ["prod-jobs-ReadThrottleEvents", "prod-jobs-WriteThrottleEvents", "prod-registry-ReadThrottleEvents", "prod-registry-WriteThrottleEvents"]
    error_message = "Reads and writes of both tables are watched."
  }
}

run "the_gateway_is_watched" {
  module {
    source = "../modules/alarms"
  }

  variables {
    runbook_url = "runbook"
  }

  assert {
    condition = {
      for query in aws_cloudwatch_metric_alarm.gateway_errors[0].metric_query : query.id => query.expression if query.expression != null && query.expression != ""
    } == { share = "IF(errors >= 5, 100 * errors / MAX([FILL(requests, 0), errors]), 0)", errors = "FILL(gateway, 0) + FILL(balancer, 0)" }
    error_message = "Errors of the gateway and of the load balancer count, by the requests that there were."
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.gateway_unhealthy[0].treat_missing_data == "breaching" && aws_cloudwatch_metric_alarm.gateway_errors[0].treat_missing_data == "notBreaching"
    error_message = "No task at all is a fault; no request is none."
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.gateway_slow[0].extended_statistic == "p99" && aws_cloudwatch_metric_alarm.gateway_slow[0].threshold == 60
    error_message = "The slowest hundredth counts."
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.webhooks_dead[0].dimensions == tomap({ QueueName = "prod-webhooks-dead" })
    error_message = "The alarm looks at another queue."
  }
}

run "webhooks_are_told_in_time" {
  module {
    source = "../modules/alarms"
  }

  variables {
    runbook_url = "runbook"
  }

  assert {
    condition = (
      aws_cloudwatch_metric_alarm.webhooks_late[0].metric_name == "ApproximateAgeOfOldestMessage"
      && aws_cloudwatch_metric_alarm.webhooks_late[0].dimensions == tomap({ QueueName = "prod-webhooks" })
      && aws_cloudwatch_metric_alarm.webhooks_late[0].threshold == 1800
    )
    error_message = "Deliveries that are older than all of their tries take are late."
  }

  assert {
    condition = (
      aws_cloudwatch_metric_alarm.webhooks_behind[0].metric_name == "IteratorAge"
      && aws_cloudwatch_metric_alarm.webhooks_behind[0].dimensions == tomap({ FunctionName = "prod-webhooks" })
      && aws_cloudwatch_metric_alarm.webhooks_behind[0].threshold == 600000
    )
    error_message = "Of the hour after which changes are given up, ten minutes pass before somebody is told; Lambda counts milliseconds."
  }
}

run "what_is_not_there_is_not_watched" {
  command = plan

  module {
    source = "../modules/alarms"
  }

  variables {
    gateway     = null
    webhooks    = null
    runbook_url = "runbook"
  }

  assert {
    condition     = length([for name in keys(output.descriptions) : name if can(regex("gateway|webhooks", name))]) == 0
    error_message = "An alarm about nothing would never be quiet."
  }
}

run "a_topic_that_is_none" {
  command = plan

  module {
    source = "../modules/alarms"
  }

  variables {
    topic_arns  = ["me@example.org"]
    runbook_url = "runbook"
  }

  expect_failures = [var.topic_arns]
}

run "the_dashboard_shows_each_chart_in_a_place_of_its_own" {
  module {
    source = "../modules/dashboard"
  }

  variables {
    region                = "eu-central-1"
    placement_queue_names = ["prod-placement.fifo"]
    cluster_name          = "prod"
    service_names         = ["prod-consumer", "prod-gateway"]
    webhook_queue_names   = ["prod-webhooks", "prod-webhooks-dead"]
  }

  assert {
    condition     = alltrue([for widget in jsondecode(output.body).widgets : length(widget.properties.metrics) > 0 && widget.properties.region == "eu-central-1"])
    error_message = "A chart shows nothing."
  }

  assert {
    condition     = length(distinct([for widget in jsondecode(output.body).widgets : "${widget.x} ${widget.y}"])) == length(jsondecode(output.body).widgets)
    error_message = "Charts lie upon each other."
  }

  assert {
    condition     = contains(jsondecode(output.body).widgets[0].properties.metrics, ["InferenceEngine", "BacklogSecondsPerTask", "Deployment", "prod"])
    error_message = "The first chart is the backlog per task."
  }
}

run "the_dashboard_shows_what_there_is" {
  module {
    source = "../modules/dashboard"
  }

  variables {
    region                = "eu-central-1"
    placement_queue_names = ["prod-placement.fifo"]
    cluster_name          = "prod"
    service_names         = ["prod-consumer"]
    gateway               = null
  }

  assert {
    condition     = !strcontains(output.body, "AWS/ApplicationELB") && !strcontains(output.body, "ebhooks")
    error_message = "There are charts of a gateway or of webhooks, and neither of them."
  }
}
