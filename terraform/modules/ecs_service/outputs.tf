output "name" {
  description = "Name of the service."
  value       = aws_ecs_service.this.name
}

output "service" {
  description = "The service with all its attributes."
  value       = aws_ecs_service.this
}

output "task_definition" {
  description = "The task definition with all its attributes; its ARN has the revision."
  value       = aws_ecs_task_definition.this
}

output "containers" {
  description = "The container definitions by name, as declared."
  value       = { for container in local.containers : container.name => container }
}

output "task_role_arn" {
  description = "ARN of the task's role."
  value       = aws_iam_role.task.arn
}

output "execution_role_arn" {
  description = "ARN of the role that ECS starts the task with."
  value       = aws_iam_role.execution.arn
}

output "execution_policy_json" {
  description = "Document of the execution role's policy."
  value       = data.aws_iam_policy_document.execution.json
}

output "security_group_id" {
  description = "Security group of the tasks."
  value       = aws_security_group.this.id
}

output "log_groups" {
  description = "Full names of the log groups by their last part."
  value       = { for name, group in aws_cloudwatch_log_group.this : name => group.name }
}
