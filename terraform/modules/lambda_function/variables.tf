################################################################################
# Function
################################################################################

variable "name" {
  description = "Name of the function, its role and its schedule."
  type        = string

  validation {
    condition     = can(regex("^[A-Za-z0-9_-]{1,64}$", var.name))
    error_message = "A function's name must be 1 to 64 letters, digits, '-' and '_'."
  }
}

variable "description" {
  description = "What the function does, in one sentence."
  type        = string
}

variable "zip_path" {
  description = "The zip of the function's code, with handler.py at its top level."
  type        = string

  validation {
    condition     = fileexists(var.zip_path)
    error_message = "The zip of the Lambda's code is missing at ${var.zip_path}: run `make lambdas`, or set lambda_zips_dir to the folder that holds the zips."
  }
}

variable "runtime" {
  description = "Lambda runtime; the zip must hold packages compiled for the same Python."
  type        = string
  default     = "python3.13"

  validation {
    condition     = can(regex("^python3\\.[0-9]+$", var.runtime))
    error_message = "runtime must be a Lambda Python runtime, for example python3.13."
  }
}

variable "architecture" {
  description = "Processor architecture; the zip must hold packages compiled for it."
  type        = string
  default     = "arm64"

  validation {
    condition     = contains(["arm64", "x86_64"], var.architecture)
    error_message = "architecture must be arm64 or x86_64."
  }
}

variable "memory_mb" {
  description = "Memory in MB; Lambda allocates CPU in proportion."
  type        = number

  validation {
    condition     = var.memory_mb >= 128 && var.memory_mb <= 10240
    error_message = "memory_mb must be 128 to 10240."
  }
}

variable "timeout_seconds" {
  description = "Seconds after which a run is stopped."
  type        = number

  validation {
    condition     = var.timeout_seconds >= 1 && var.timeout_seconds <= 900
    error_message = "timeout_seconds must be 1 to 900."
  }
}

variable "environment" {
  description = "Environment variables; no secrets."
  type        = map(string)
  default     = {}
}

variable "reserved_concurrency" {
  description = "Concurrent runs that are reserved for the function, and also its limit; null for no limit."
  type        = number
  default     = null

  validation {
    condition     = var.reserved_concurrency == null ? true : var.reserved_concurrency >= 1
    error_message = "reserved_concurrency must be at least 1 (0 would stop the function), or null for no limit."
  }
}

################################################################################
# Triggers
################################################################################

variable "schedule" {
  description = "When the function runs, for example rate(1 minute); null for no schedule."
  type        = string
  default     = null

  validation {
    condition     = var.schedule == null || can(regex("^(rate|cron)\\(.+\\)$", var.schedule))
    error_message = "schedule must be rate(...) or cron(...), for example rate(1 minute)."
  }
}

variable "queue" {
  description = <<-EOT
    An SQS queue that the function receives messages from; null for none.

    arn              ARN of the queue
    batch_size       messages per run, at most
    max_concurrency  concurrent runs; null for no limit
  EOT
  type = object({
    arn             = string
    batch_size      = optional(number, 10)
    max_concurrency = optional(number)
  })
  default = null

  validation {
    condition     = var.queue == null ? true : var.queue.batch_size >= 1 && var.queue.batch_size <= 10
    error_message = "queue.batch_size must be 1 to 10, the maximum for a FIFO queue."
  }

  validation {
    condition     = try(var.queue.max_concurrency, null) == null ? true : var.queue.max_concurrency >= 2 && var.queue.max_concurrency <= 1000
    error_message = "queue.max_concurrency must be 2 to 1000, or null for no limit."
  }
}

variable "stream" {
  description = <<-EOT
    A DynamoDB stream that the function reads, starting at its oldest record; null for none.

    arn                 ARN of the stream
    pattern             which records the function gets: an event pattern as JSON
    failures_queue_arn  ARN of the queue that gets a message about records that were given up
    batch_size          records per run, at most
    max_age_seconds     after which records are given up; until then they are retried
  EOT
  type = object({
    arn                = string
    pattern            = string
    failures_queue_arn = string
    batch_size         = optional(number, 100)
    max_age_seconds    = optional(number, 86400)
  })
  default = null

  validation {
    condition     = var.stream == null ? true : var.stream.batch_size >= 1 && var.stream.batch_size <= 1000
    error_message = "stream.batch_size must be 1 to 1000."
  }

  validation {
    condition     = var.stream == null ? true : var.stream.max_age_seconds >= 60 && var.stream.max_age_seconds <= 86400
    error_message = "stream.max_age_seconds must be 60 to 86400: DynamoDB keeps the records of a stream for a day."
  }
}

################################################################################
# Network
################################################################################

variable "network" {
  description = <<-EOT
    Where in a VPC the function runs; null to run outside any VPC, with access to the internet.

    subnet_ids          its subnets
    security_group_ids  its security groups
  EOT
  type = object({
    subnet_ids         = list(string)
    security_group_ids = list(string)
  })
  default = null

  validation {
    condition     = var.network == null ? true : length(var.network.subnet_ids) > 0 && length(var.network.security_group_ids) > 0
    error_message = "network needs at least one subnet and one security group."
  }
}

################################################################################
# Rights, logs, tags
################################################################################

variable "policy_arn" {
  description = "ARN of the policy with all permissions of the function, logging included."
  type        = string
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
