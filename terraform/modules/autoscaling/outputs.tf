output "target" {
  description = "The scalable target: resource_id, min_capacity, max_capacity."
  value = {
    resource_id  = aws_appautoscaling_target.this.resource_id
    min_capacity = aws_appautoscaling_target.this.min_capacity
    max_capacity = aws_appautoscaling_target.this.max_capacity
  }
}

output "policy_arns" {
  description = "ARNs of the scaling policies: backlog, and wake if the service may scale to zero."
  value = merge(
    { backlog = aws_appautoscaling_policy.backlog.arn },
    { for policy in aws_appautoscaling_policy.wake : "wake" => policy.arn },
  )
}

output "wake_alarm_name" {
  description = "Name of the alarm that starts the first task; null if the service never scales to zero."
  value       = one(aws_cloudwatch_metric_alarm.wake[*].alarm_name)
}
