output "name" {
  description = "Name of the service."
  value       = aws_ecs_service.this.name
}

output "id" {
  description = "ARN of the service."
  value       = aws_ecs_service.this.id
}

output "security_group_id" {
  description = "Security group of the tasks."
  value       = aws_security_group.this.id
}

output "capacity_providers" {
  description = "Base and weight of the service's capacity providers, by name."
  value = {
    for provider in aws_ecs_service.this.capacity_provider_strategy :
    provider.capacity_provider => { base = provider.base, weight = provider.weight }
  }
}
