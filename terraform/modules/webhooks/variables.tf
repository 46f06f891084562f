################################################################################
# Names
################################################################################

variable "prefix" {
  description = "Prefix of the names of the function and the queues."
  type        = string

  validation {
    condition     = can(regex("^[A-Za-z0-9_-]{1,40}$", var.prefix))
    error_message = "prefix must be 1 to 40 letters, digits, '-' and '_'."
  }
}

variable "parameter_path" {
  description = "Path of the deployment's SSM parameters; the secret's parameter is below it."
  type        = string

  validation {
    condition     = can(regex("^/[A-Za-z0-9_./-]*[A-Za-z0-9_.-]$", var.parameter_path))
    error_message = "parameter_path must begin with '/' and not end with it, for example /inference-engine/prod."
  }
}

################################################################################
# Deliveries
################################################################################

variable "jobs_stream_arn" {
  description = "ARN of the stream of the jobs table."
  type        = string
}

variable "message_max_bytes" {
  description = "Largest message of the queues in bytes. Versions of the AWS provider before 6.8 reject more than 262144."
  type        = number
  default     = 1048576

  validation {
    condition     = var.message_max_bytes >= 131072 && var.message_max_bytes <= 1048576
    error_message = "message_max_bytes must be 131072 to 1048576 (SQS's limit of 1 MiB; versions of the AWS provider before 6.8 stop at 262144)."
  }
}

variable "allow_private" {
  description = "Whether the function delivers to private addresses, and without TLS."
  type        = bool
  default     = false
}

variable "request_timeout_seconds" {
  description = "How long a receiver may take to answer, in seconds."
  type        = number
  default     = 10

  validation {
    condition     = var.request_timeout_seconds >= 1 && var.request_timeout_seconds <= 30
    error_message = "request_timeout_seconds must be 1 to 30: a run is stopped after 120 seconds."
  }
}

variable "max_concurrency" {
  description = "Concurrent runs of the function that deliver, limited so that slow receivers do not use up the account's concurrency."
  type        = number
  default     = 10

  validation {
    condition     = var.max_concurrency >= 2 && var.max_concurrency <= 1000
    error_message = "max_concurrency must be 2 to 1000."
  }
}

################################################################################
# Function
################################################################################

variable "zip_path" {
  description = "The zip of the function's code."
  type        = string
}

variable "runtime" {
  description = "Lambda runtime; the zip must hold packages compiled for the same Python."
  type        = string
  default     = "python3.13"
}

variable "architecture" {
  description = "Processor architecture; the zip must hold packages compiled for it."
  type        = string
  default     = "arm64"
}

variable "environment" {
  description = "Environment variables that name the deployment; no secrets."
  type        = map(string)
}

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
