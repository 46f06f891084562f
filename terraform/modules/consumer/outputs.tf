output "service_name" {
  description = "Name of the service."
  value       = module.service.name
}

output "capacity_providers" {
  description = "Base and weight of the service's capacity providers, by name."
  value = {
    for provider in module.service.service.capacity_provider_strategy :
    provider.capacity_provider => { base = provider.base, weight = provider.weight }
  }
}

output "task_definition_arn" {
  description = "ARN of the task definition, with its revision."
  value       = module.service.task_definition.arn
}

output "containers" {
  description = "The container definitions by name, as declared."
  value       = module.service.containers
}

output "task_role_arn" {
  description = "ARN of the task's role."
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

output "log_groups" {
  description = "Names of the log groups by container."
  value       = module.service.log_groups
}
