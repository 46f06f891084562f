output "task_definition_arn" {
  description = "ARN of the task definition, with its revision."
  value       = aws_ecs_task_definition.this.arn

  # If a service starts before its roles have their policies, its first tasks fail.
  depends_on = [aws_iam_role_policy_attachment.task, aws_iam_role_policy_attachment.execution]
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

output "log_groups" {
  description = "Names of the log groups by container."
  value       = { for container, group in aws_cloudwatch_log_group.this : container => group.name }
}
