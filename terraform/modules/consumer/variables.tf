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
# Containers
################################################################################

variable "compute" {
  description = <<-EOT
    Resources of a task.

    cpu                    units, 1024 is one vCPU
    memory_mib             memory in MiB
    architecture           X86_64 or ARM64
    ephemeral_storage_gib  disk in GiB, on Fargate
    gpus                   GPUs; if above zero, the task runs on EC2 instances of a capacity provider
  EOT
  type = object({
    cpu                   = number
    memory_mib            = number
    architecture          = string
    ephemeral_storage_gib = number
    gpus                  = number
  })

  validation {
    condition     = contains(["X86_64", "ARM64"], var.compute.architecture)
    error_message = "compute.architecture must be X86_64 or ARM64."
  }
}

variable "consumer" {
  description = <<-EOT
    The consumer's container.

    image    the image with its tag
    command  arguments of `inference-engine consume`
    user     the user that it runs as; null for the image's own
  EOT
  type = object({
    image   = string
    command = list(string)
    user    = string
  })

  validation {
    condition     = length(var.consumer.command) > 0
    error_message = "consumer.command must name what computes, for example [\"--function\", \"my_app:compute\"]."
  }
}

variable "triton" {
  description = <<-EOT
    The Triton sidecar.

    enabled               whether there is one
    image                 the image with its tag
    user                  the user that it runs as; null for the image's own
    exit_timeout_seconds  how long it lets its models finish
    arguments             additional options of tritonserver
    shared_memory_mib     shared memory in MiB, on EC2; it cannot be set on Fargate
  EOT
  type = object({
    enabled              = bool
    image                = string
    user                 = string
    exit_timeout_seconds = number
    arguments            = list(string)
    shared_memory_mib    = number
  })

  validation {
    condition     = var.triton.exit_timeout_seconds >= 1 && var.triton.exit_timeout_seconds <= 110
    error_message = "triton.exit_timeout_seconds must be 1 to 110: ECS kills the container ten seconds later, and its limit is 120."
  }
}

variable "keep_revisions" {
  description = "Whether earlier task definitions stay registered when a new one replaces them, and after a destroy."
  type        = bool
  default     = true
}

variable "environment" {
  description = "Environment variables of the consumer; no secrets."
  type        = map(string)
}

################################################################################
# Where it runs
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

variable "capacity_providers" {
  description = "Capacity providers with their base (tasks that are placed there first) and weight (share of the remaining tasks)."
  type        = list(object({ name = string, base = number, weight = number }))

  validation {
    condition     = length(var.capacity_providers) > 0
    error_message = "capacity_providers must name at least one, for example {name = \"FARGATE\", base = 0, weight = 1}."
  }
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

variable "deployment" {
  description = <<-EOT
    How many tasks run during a deployment, in percent of those that should.

    minimum_healthy_percent  the fewest
    maximum_percent          the most
  EOT
  type        = object({ minimum_healthy_percent = number, maximum_percent = number })
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
