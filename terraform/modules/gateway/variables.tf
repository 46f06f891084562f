################################################################################
# Names and places
################################################################################

variable "name" {
  description = "Name of the service, its task definition, roles and security group."
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
# What runs
################################################################################

variable "compute" {
  description = <<-EOT
    Resources of a task.

    cpu           units, 1024 is one vCPU
    memory_mib    memory in MiB
    architecture  X86_64 or ARM64
  EOT
  type        = object({ cpu = number, memory_mib = number, architecture = string })

  validation {
    condition     = contains(["X86_64", "ARM64"], var.compute.architecture)
    error_message = "compute.architecture must be X86_64 or ARM64."
  }
}

variable "container" {
  description = <<-EOT
    The gateway's container.

    image  the image with its tag
    user   the user that it runs as; null for the image's own
  EOT
  type        = object({ image = string, user = string })
}

variable "port" {
  description = "Port that the gateway listens on."
  type        = number
  default     = 8000
}

variable "timeout_seconds" {
  description = "How long a caller waits for a result, by default and at most; must be below the load balancer's idle timeout."
  type        = number
}

variable "body_max_mib" {
  description = "The largest request body in MiB; JSON of tiny elements takes up to about fifty bytes of memory per byte."
  type        = number

  validation {
    condition     = var.body_max_mib >= 1 && var.body_max_mib <= var.compute.memory_mib / 64
    error_message = "body_max_mib must be at least 1 and at most 1/64 of compute.memory_mib: JSON of tiny elements takes up to about fifty bytes of memory per byte."
  }
}

variable "shutdown_delay_seconds" {
  description = "How long callers may keep waiting after the gateway receives SIGTERM; in a deployment they have had timeout_seconds before that."
  type        = number

  validation {
    condition     = var.shutdown_delay_seconds >= 0 && var.shutdown_delay_seconds <= 105
    error_message = "shutdown_delay_seconds must be 0 to 105: ECS kills the container 15 seconds later, and its limit is 120."
  }
}

variable "environment" {
  description = "Environment variables of the gateway; no secrets."
  type        = map(string)
}

variable "keep_revisions" {
  description = "Whether earlier task definitions stay registered when a new one replaces them, and after a destroy."
  type        = bool
  default     = true
}

################################################################################
# Where it runs
################################################################################

variable "cluster_arn" {
  description = "ARN of the cluster."
  type        = string
}

variable "cluster_name" {
  description = "Name of the cluster."
  type        = string
}

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

variable "target_group_arn" {
  description = "ARN of the load balancer's target group."
  type        = string
}

variable "metric_dimensions" {
  description = <<-EOT
    Values of the CloudWatch dimensions of the load balancer.

    load_balancer  of LoadBalancer
    target_group   of TargetGroup
  EOT
  type        = object({ load_balancer = string, target_group = string })
}

variable "scaling" {
  description = <<-EOT
    How many tasks run.

    min_tasks            the fewest
    max_tasks            the most
    cpu_percent          CPU utilization that autoscaling aims at
    requests_per_minute  requests per task that it also aims at; null for none
  EOT
  type = object({
    min_tasks           = number
    max_tasks           = number
    cpu_percent         = number
    requests_per_minute = number
  })

  validation {
    condition     = var.scaling.min_tasks >= 1 && var.scaling.max_tasks >= var.scaling.min_tasks
    error_message = "scaling.min_tasks must be at least 1, and max_tasks not below it."
  }
}

################################################################################
# Rights, logs, tags
################################################################################

variable "policy_arn" {
  description = "ARN of the policy with all permissions of the gateway."
  type        = string
}

variable "repository_arns" {
  description = "ARNs of the ECR repositories that the image is pulled from."
  type        = list(string)

  validation {
    condition     = length(var.repository_arns) > 0
    error_message = "repository_arns must name at least one repository."
  }
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
  description = "Tags of all resources."
  type        = map(string)
  default     = {}
}
