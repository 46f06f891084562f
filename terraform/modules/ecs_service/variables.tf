################################################################################
# Names and places
################################################################################

variable "name" {
  description = "Name of the service, its task definition, roles and security group; log groups are named after it."
  type        = string

  validation {
    condition     = can(regex("^[A-Za-z0-9_-]{1,54}$", var.name))
    error_message = "name must be 1 to 54 letters, digits, '-' and '_': role names end in -execution and have at most 64 characters."
  }
}

variable "partition" {
  description = "AWS partition, for example aws."
  type        = string
}

variable "region" {
  description = "AWS Region of the deployment."
  type        = string
}

variable "account_id" {
  description = "AWS account of the deployment."
  type        = string

  validation {
    condition     = can(regex("^[0-9]{12}$", var.account_id))
    error_message = "account_id must be 12 digits."
  }
}

################################################################################
# Task
################################################################################

variable "compute" {
  description = <<-EOT
    Resources of a task.

    cpu                    units, 1024 is one vCPU
    memory_mib             memory in MiB
    architecture           X86_64 or ARM64
    ephemeral_storage_gib  disk in GiB, on Fargate; null for its default of 20
  EOT
  type = object({
    cpu                   = number
    memory_mib            = number
    architecture          = string
    ephemeral_storage_gib = optional(number)
  })

  validation {
    condition     = contains(["X86_64", "ARM64"], var.compute.architecture)
    error_message = "compute.architecture must be X86_64 or ARM64."
  }
}

variable "containers" {
  description = "The container definitions, as the ECS API has them, each with a name; without logConfiguration, which this module adds."
  type        = any

  validation {
    condition     = length(var.containers) > 0 && alltrue([for container in var.containers : can(container.name)])
    error_message = "containers must be a list of container definitions, at least one, each with a name."
  }
}

variable "volumes" {
  description = "Names of the task's volumes, which its containers share; they live as long as the task."
  type        = list(string)
  default     = []
}

variable "keep_revisions" {
  description = "Whether earlier task definitions stay registered when a new one replaces them, and after a destroy."
  type        = bool
  default     = true
}

################################################################################
# Service
################################################################################

variable "cluster_arn" {
  description = "ARN of the cluster."
  type        = string
}

variable "initial_count" {
  description = "Tasks that the service starts with; autoscaling changes the count afterwards."
  type        = number

  validation {
    condition     = var.initial_count >= 0 && floor(var.initial_count) == var.initial_count
    error_message = "initial_count must be a whole number of at least 0."
  }
}

variable "fargate" {
  description = "Whether the tasks run on Fargate; if not, on instances of a capacity provider."
  type        = bool
  default     = true

  validation {
    condition     = var.fargate || length(var.capacity_providers) > 0
    error_message = "Without Fargate, capacity_providers must name where the tasks run."
  }
}

variable "capacity_providers" {
  description = <<-EOT
    Capacity providers with their base (tasks that are placed there first) and weight (share of the remaining tasks); none for plain
    Fargate.
  EOT
  type        = list(object({ name = string, base = number, weight = number }))
  default     = []

  validation {
    condition     = length(var.capacity_providers) == 0 || anytrue([for provider in var.capacity_providers : provider.weight > 0])
    error_message = "At least one capacity provider needs a weight above 0."
  }

  validation {
    condition     = length([for provider in var.capacity_providers : provider if provider.base > 0]) <= 1
    error_message = "Only one capacity provider may have a base."
  }
}

variable "deployment" {
  description = <<-EOT
    How many tasks run during a deployment, in percent of those that should.

    minimum_healthy_percent  the fewest
    maximum_percent          the most
  EOT
  type        = object({ minimum_healthy_percent = number, maximum_percent = number })
}

variable "rebalance_zones" {
  description = "Whether ECS stops and starts tasks to spread them evenly over Availability Zones."
  type        = bool
}

################################################################################
# Network
################################################################################

variable "network" {
  description = <<-EOT
    Where tasks run and what they reach over HTTPS.

    vpc_id                       the VPC
    subnet_ids                   the tasks' subnets
    endpoint_security_group_ids  security groups of the interface endpoints
    prefix_list_ids              prefix lists of the gateway endpoints, by service
    egress_cidr_blocks           other addresses
  EOT
  type = object({
    vpc_id                      = string
    subnet_ids                  = list(string)
    endpoint_security_group_ids = list(string)
    prefix_list_ids             = map(string)
    egress_cidr_blocks          = list(string)
  })
}

variable "load_balancer" {
  description = <<-EOT
    Where requests come from; null for a service that receives none. The rule that admits them belongs to the load balancer.

    target_group_arn  target group, once a listener forwards to it
    container_name    the container that requests go to
    container_port    its port
  EOT
  type        = object({ target_group_arn = string, container_name = string, container_port = number })
  default     = null
}

################################################################################
# Rights, logs, tags
################################################################################

variable "task_policy_arns" {
  description = "ARNs of the policies of the task's role, by a name of your choice."
  type        = map(string)
}

variable "repository_arns" {
  description = "ARNs of the ECR repositories that images are pulled from."
  type        = list(string)

  validation {
    condition     = length(var.repository_arns) > 0
    error_message = "repository_arns must name at least one repository."
  }
}

variable "log_groups" {
  description = "The log group of each container, by the container's name; the group's full name is /inference-engine/NAME/GROUP."
  type        = map(string)
}

variable "log_retention_days" {
  description = "Days that logs are kept."
  type        = number
  default     = 30
}

variable "kms_key_arn" {
  description = "KMS key that encrypts the logs; null for CloudWatch Logs' own key."
  type        = string
  default     = null
}

variable "tags" {
  description = "Tags of all resources, and of the tasks."
  type        = map(string)
  default     = {}
}
