output "service_name" {
  description = "Name of the service."
  value       = module.service.name
}

output "task_definition_arn" {
  description = "ARN of the task definition, with its revision."
  value       = module.service.task_definition.arn
}

output "container" {
  description = "The container definition, as declared."
  value       = module.service.containers["gateway"]
}

output "task_role_arn" {
  description = "ARN of the tasks' role."
  value       = module.service.task_role_arn
}

output "execution_policy_json" {
  description = "Document of the execution role's policy."
  value       = module.service.execution_policy_json
}

output "security_group_id" {
  description = "Security group of the tasks."
  value       = module.service.security_group_id
}

output "log_group_name" {
  description = "Name of the log group."
  value       = module.service.log_groups["gateway"]
}
