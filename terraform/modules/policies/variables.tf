################################################################################
# Where
################################################################################

variable "prefix" {
  description = "Prefix of the names of the policies and of all queues."
  type        = string

  validation {
    condition     = can(regex("^[A-Za-z0-9_-]{1,40}$", var.prefix))
    error_message = "prefix must be 1 to 40 letters, digits, '-' and '_'."
  }
}

variable "partition" {
  description = "AWS partition, for example aws."
  type        = string

  validation {
    condition     = can(regex("^aws[a-z-]*$", var.partition))
    error_message = "partition must be aws, aws-cn, aws-us-gov or similar."
  }
}

variable "region" {
  description = "AWS Region of the deployment."
  type        = string

  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]+$", var.region))
    error_message = "region must be an AWS Region's code, for example eu-central-1."
  }
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
# What the policies cover
################################################################################

variable "parameter_path" {
  description = "Path of the deployment's SSM parameters, without a trailing slash."
  type        = string

  validation {
    condition     = can(regex("^/[A-Za-z0-9_./-]*[A-Za-z0-9_.-]$", var.parameter_path))
    error_message = "parameter_path must begin with '/' and not end with it, for example /inference-engine/prod."
  }
}

variable "jobs_table_arn" {
  description = "ARN of the table of job records."
  type        = string
}

variable "registry_table_arn" {
  description = "ARN of the table of consumers and labels."
  type        = string
}

variable "payloads_bucket_arn" {
  description = "ARN of the bucket of bodies and results."
  type        = string
}

variable "models_bucket_arn" {
  description = "ARN of the bucket of models."
  type        = string
}

variable "placement_queue_arns" {
  description = "ARNs of the placement queues."
  type        = list(string)

  validation {
    condition     = length(var.placement_queue_arns) > 0
    error_message = "placement_queue_arns must name at least one queue."
  }
}

variable "dead_letter_queue_arn" {
  description = "ARN of the dead-letter queue."
  type        = string
}

variable "cluster_name" {
  description = "ECS cluster whose tasks may protect themselves."
  type        = string
}

variable "service_names" {
  description = "ECS services of that cluster whose desired count is read."
  type        = list(string)

  validation {
    condition     = length(var.service_names) > 0
    error_message = "service_names must name at least one service."
  }
}

variable "metric_namespace" {
  description = "The only CloudWatch namespace that metrics may be published to."
  type        = string
}

variable "auto_create_queues" {
  description = "Whether producers and consumers may create a label's queue on its first post."
  type        = bool
  default     = true
}

variable "webhooks" {
  description = "Whether to create a policy for the webhooks function."
  type        = bool
  default     = false
}

variable "kms_key_arn" {
  description = "KMS key of tables and payloads, which all roles must then be allowed to use; null for none."
  type        = string
  default     = null
}

variable "tags" {
  description = "Tags of the policies."
  type        = map(string)
  default     = {}
}
