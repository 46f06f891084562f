################################################################################
# For clients
################################################################################

output "prefix" {
  description = "Prefix of all names."
  value       = local.prefix
}

output "parameter_path" {
  description = "Path of the SSM parameters that clients read."
  value       = local.parameter_path
}

output "settings" {
  description = "Settings of the library by name; each is also an SSM parameter and an environment variable INFERENCE_ENGINE_NAME of the consumers."
  value       = local.settings
}

output "policy_arns" {
  description = "ARNs of the policies to attach, by role: producer, gateway, consumer, operator, backlog-metrics, dead-letters, and webhooks if enabled."
  value       = module.policies.arns
}

output "policy_json" {
  description = "Documents of those policies by role, for tools that create the roles of this account."
  value       = module.policies.json
}

################################################################################
# What the stack creates
################################################################################

output "queues" {
  description = "Queues: dead_letters, placement by cell, labels by label, each with name, arn and url."
  value = {
    dead_letters = module.queues.dead_letters
    placement    = module.queues.placement
    labels       = module.queues.labels
  }
}

output "tables" {
  description = "DynamoDB tables: jobs and registry, each with name and arn."
  value       = { jobs = module.tables.jobs, registry = module.tables.registry }
}

output "buckets" {
  description = "S3 buckets: payloads and models."
  value       = { payloads = module.payloads.name, models = module.models.name }
}

output "repository_urls" {
  description = "ECR repositories: consumer, triton for a mirror of NVIDIA's image, and gateway if enabled."
  value       = module.repositories.urls
}

output "functions" {
  description = "Lambda functions: backlog_metrics, dead_letters, and webhooks if enabled."
  value = merge(
    { backlog_metrics = module.backlog_metrics.name, dead_letters = module.dead_letters.name },
    { for one in module.webhooks : "webhooks" => one.function_name },
  )
}

output "cluster_name" {
  description = "ECS cluster."
  value       = module.cluster.name
}

output "service_names" {
  description = "ECS services by cell."
  value       = { for cell, consumer in module.consumer : cell => consumer.service_name }
}

output "task_definition_arns" {
  description = "Task definitions with their revision, by cell."
  value       = { for cell, consumer in module.consumer : cell => consumer.task_definition_arn }
}

output "containers" {
  description = "Container definitions by cell and name."
  value       = { for cell, consumer in module.consumer : cell => consumer.containers }
}

output "task_role_arns" {
  description = "Roles of the tasks by cell."
  value       = { for cell, consumer in module.consumer : cell => consumer.task_role_arn }
}

output "execution_policy_json" {
  description = "Documents of the execution roles' policies by cell."
  value       = { for cell, consumer in module.consumer : cell => consumer.execution_policy_json }
}

output "task_security_group_ids" {
  description = "Security groups of the tasks by cell."
  value       = { for cell, consumer in module.consumer : cell => consumer.security_group_id }
}

output "scaling" {
  description = "Scalable targets by cell: resource_id, min_capacity, max_capacity."
  value       = { for cell, scaling in module.autoscaling : cell => scaling.target }
}

output "gateway" {
  description = "The gateway, null if disabled: url, dns_name and zone_id (for a record in your own domain), load_balancer_arn, service_name, task_definition_arn, container, task_role_arn, execution_policy_json, log_group_name, security_group_ids (balancer, tasks)."
  value = one([
    for index, gateway in module.gateway : {
      url                   = module.gateway_balancer[index].url
      dns_name              = module.gateway_balancer[index].dns_name
      zone_id               = module.gateway_balancer[index].zone_id
      load_balancer_arn     = module.gateway_balancer[index].arn
      service_name          = gateway.service_name
      task_definition_arn   = gateway.task_definition_arn
      container             = gateway.container
      task_role_arn         = gateway.task_role_arn
      execution_policy_json = gateway.execution_policy_json
      log_group_name        = gateway.log_group_name
      security_group_ids    = { balancer = module.gateway_balancer[index].security_group_id, tasks = gateway.security_group_id }
    }
  ])
}

output "webhooks" {
  description = "The webhooks, null if disabled: queue and dead_queue, each with name, arn and url, and secret_parameter, the name of the secret in SSM."
  value = one([
    for webhooks in module.webhooks : {
      queue            = webhooks.queue
      dead_queue       = webhooks.dead_queue
      secret_parameter = webhooks.secret_parameter
    }
  ])
}

output "alarm_arns" {
  description = "ARNs of the alarms by name."
  value       = module.alarms.arns
}

output "dashboard_name" {
  description = "CloudWatch dashboard."
  value       = module.dashboard.name
}
