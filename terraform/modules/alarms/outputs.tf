locals {
  all = concat(
    values(aws_cloudwatch_metric_alarm.single),
    values(aws_cloudwatch_metric_alarm.combined),
    [aws_cloudwatch_metric_alarm.metrics_missing],
    values(aws_cloudwatch_metric_alarm.lambda_errors),
    values(aws_cloudwatch_metric_alarm.throttles),
    aws_cloudwatch_metric_alarm.gateway_errors,
    aws_cloudwatch_metric_alarm.gateway_unhealthy,
    aws_cloudwatch_metric_alarm.gateway_slow,
    aws_cloudwatch_metric_alarm.webhooks_dead,
    aws_cloudwatch_metric_alarm.webhooks_late,
    aws_cloudwatch_metric_alarm.webhooks_behind,
  )
}

output "arns" {
  description = "ARNs of the alarms by name."
  value       = { for alarm in local.all : alarm.alarm_name => alarm.arn }
}

output "descriptions" {
  description = "Descriptions of the alarms by name; each names its section of the runbook."
  value       = { for alarm in local.all : alarm.alarm_name => alarm.alarm_description }
}
