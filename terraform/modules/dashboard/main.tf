locals {
  # Metrics as a dashboard expects them: [namespace, name, dimension, value, …].
  backlog = {
    for name in [
      "BacklogSecondsPerTask", "BacklogSecondsPerDesiredTask", "BacklogSeconds", "RunnableBacklogSeconds", "JobsVisible",
      "JobsInFlight", "OldestJobAgeSeconds", "ActiveLabels", "UnservedLabels", "FailingLabels", "RunningTasks", "Slots",
      "WantedTasks", "DeadLetters", "DeadLettersFailed",
    ] : name => [var.metric_namespace, name, "Deployment", var.prefix]
  }
  waiting = {
    for name in concat([var.dead_letter_queue_name], var.placement_queue_names, var.webhook_queue_names) :
    name => ["AWS/SQS", "ApproximateNumberOfMessagesVisible", "QueueName", name]
  }
  functions = [
    for pair in setproduct(var.function_names, ["Invocations", "Errors"]) : ["AWS/Lambda", pair[1], "FunctionName", pair[0]]
  ]
  tables = [
    for pair in setproduct(var.table_names, ["ConsumedReadCapacityUnits", "ConsumedWriteCapacityUnits"]) :
    ["AWS/DynamoDB", pair[1], "TableName", pair[0]]
  ]
  load = [
    for pair in setproduct(var.service_names, ["CPUUtilization", "MemoryUtilization"]) :
    ["AWS/ECS", pair[1], "ClusterName", var.cluster_name, "ServiceName", pair[0]]
  ]

  balancer = {
    for name in [
      "RequestCount", "HTTPCode_Target_2XX_Count", "HTTPCode_Target_4XX_Count", "HTTPCode_Target_5XX_Count", "HTTPCode_ELB_5XX_Count",
    ] : name => ["AWS/ApplicationELB", name, "LoadBalancer", try(var.gateway.load_balancer, "")]
  }
  targets = {
    for name in ["TargetResponseTime", "HealthyHostCount", "UnHealthyHostCount"] : name => [
      "AWS/ApplicationELB", name, "TargetGroup", try(var.gateway.target_group, ""), "LoadBalancer", try(var.gateway.load_balancer, ""),
    ]
  }

  # One entry per chart: statistic, metrics, and horizontal lines to compare them with.
  gateway_charts = [
    { title = "Gateway: requests and answers", stat = "Sum", metrics = values(local.balancer), lines = {} },
    {
      title   = "Gateway: slowest hundredth of the answers (seconds)"
      stat    = "p99"
      metrics = [local.targets["TargetResponseTime"]]
      lines   = { alarm = try(var.gateway.slow_seconds, 0) }
    },
    {
      title   = "Gateway: tasks that the load balancer finds healthy"
      stat    = "Average"
      metrics = [local.targets["HealthyHostCount"], local.targets["UnHealthyHostCount"]]
      lines   = {}
    },
  ]
  webhook_charts = [
    {
      title   = "Webhooks that wait, and that were given up"
      stat    = "Maximum"
      metrics = [for name in var.webhook_queue_names : local.waiting[name]]
      lines   = {}
    },
  ]
  charts = concat(
    local.main_charts,
    [for chart in local.gateway_charts : chart if var.gateway != null],
    [for chart in local.webhook_charts : chart if length(var.webhook_queue_names) > 0],
  )
  main_charts = [
    {
      title   = "Backlog per task (seconds)"
      stat    = "Average"
      metrics = [local.backlog["BacklogSecondsPerTask"], local.backlog["BacklogSecondsPerDesiredTask"]]
      lines   = { "target of autoscaling" = var.target_backlog_seconds }
    },
    {
      title   = "Tasks"
      stat    = "Maximum"
      metrics = [local.backlog["RunningTasks"], local.backlog["WantedTasks"]]
      lines   = { "the most" = var.max_tasks }
    },
    {
      title   = "Jobs"
      stat    = "Maximum"
      metrics = [local.backlog["JobsVisible"], local.backlog["JobsInFlight"]]
      lines   = {}
    },
    {
      title   = "Backlog (seconds of work)"
      stat    = "Maximum"
      metrics = [local.backlog["BacklogSeconds"], local.backlog["RunnableBacklogSeconds"]]
      lines   = {}
    },
    {
      title   = "Age of the oldest job (seconds)"
      stat    = "Maximum"
      metrics = [local.backlog["OldestJobAgeSeconds"]]
      lines   = { "alarm" = var.oldest_job_age_seconds }
    },
    {
      title   = "Labels and slots"
      stat    = "Maximum"
      metrics = [for name in ["ActiveLabels", "UnservedLabels", "FailingLabels", "Slots"] : local.backlog[name]]
      lines   = {}
    },
    {
      title   = "Dead letters"
      stat    = "Maximum"
      metrics = [local.backlog["DeadLetters"], local.backlog["DeadLettersFailed"], local.waiting[var.dead_letter_queue_name]]
      lines   = {}
    },
    {
      title   = "Load requests that wait"
      stat    = "Maximum"
      metrics = [for name in var.placement_queue_names : local.waiting[name]]
      lines   = {}
    },
    { title = "Lambdas", stat = "Sum", metrics = local.functions, lines = {} },
    { title = "Capacity that the tables use (units a minute)", stat = "Sum", metrics = local.tables, lines = {} },
    { title = "Processor and memory of the tasks (percent)", stat = "Average", metrics = local.load, lines = {} },
  ]

  # Three charts in a row of 24 units.
  chart_width  = 8
  chart_height = 6
}

resource "aws_cloudwatch_dashboard" "this" {
  dashboard_name = var.prefix
  dashboard_body = jsonencode({
    widgets = [
      for index, chart in local.charts : {
        type   = "metric"
        x      = index % 3 * local.chart_width
        y      = floor(index / 3) * local.chart_height
        width  = local.chart_width
        height = local.chart_height
        properties = {
          title       = chart.title
          region      = var.region
          view        = "timeSeries"
          stat        = chart.stat
          period      = 60
          metrics     = chart.metrics
          annotations = { horizontal = [for label, value in chart.lines : { label = label, value = value }] }
          yAxis       = { left = { min = 0 } }
        }
      }
    ]
  })
}
