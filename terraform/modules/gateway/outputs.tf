output "service_name" {
  description = "Name of the service."
  value       = aws_ecs_service.this.name
}

output "task_definition_arn" {
  description = "ARN of the task definition, with its revision."
  value       = aws_ecs_task_definition.this.arn
}

output "container" {
  description = "The container definition, as declared."
  value       = local.container
}

output "task_role_arn" {
  description = "ARN of the tasks' role."
  value       = aws_iam_role.task.arn
}

output "execution_policy_json" {
  description = "Document of the execution role's policy."
  value       = data.aws_iam_policy_document.execution.json
}

output "security_group_id" {
  description = "Security group of the tasks."
  value       = aws_security_group.this.id
}

output "log_group_name" {
  description = "Name of the log group."
  value       = aws_cloudwatch_log_group.this.name
}
