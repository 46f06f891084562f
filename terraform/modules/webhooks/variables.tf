################################################################################
# Names
################################################################################

variable "prefix" {
  description = "What the function's and the queues' names begin with."
  type        = string

  validation {
    condition     = can(regex("^[A-Za-z0-9_-]{1,40}$", var.prefix))
    error_message = "prefix must be 1 to 40 of letters, digits, '-' and '_'."
  }
}

variable "parameter_path" {
  description = "Path of the deployment's SSM parameters; the secret's lies below it."
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
  description = "Largest message of the queues in bytes. Versions of the AWS provider before 6.8 refuse more than 262144."
  type        = number
  default     = 1048576

  validation {
    condition     = var.message_max_bytes >= 131072 && var.message_max_bytes <= 1048576
    error_message = "message_max_bytes must be 131072 to 1048576 (SQS's limit of 1 MiB; versions of the AWS provider before 6.8 stop at 262144)."
  }
}

variable "allow_private" {
  description = "Whether it delivers to private addresses, and without TLS."
  type        = bool
  default     = false
}

variable "request_timeout_seconds" {
  description = "How long a receiver may take to answer, in seconds."
  type        = number
  default     = 10

  validation {
    condition     = var.request_timeout_seconds >= 1 && var.request_timeout_seconds <= 30
    error_message = "request_timeout_seconds must be 1 to 30: a run ends after 120."
  }
}

variable "max_concurrency" {
  description = "Runs of the function that deliver at the same time, so that slow receivers do not take the account's other functions their runs."
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
  description = "Lambda runtime; the zip holds compiled packages of the same Python."
  type        = string
  default     = "python3.13"
}

variable "architecture" {
  description = "Processor architecture; the zip holds compiled packages of the same one."
  type        = string
  default     = "arm64"
}

variable "environment" {
  description = "Environment variables that name the deployment; no secrets."
  type        = map(string)
}

variable "network" {
  description = "Where in a VPC it runs: subnet_ids and security_group_ids; null for outside of all VPCs, with the internet in reach."
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
  description = "ARN of the policy with all that the function may do, logging included."
  type        = string
}

variable "log_retention_days" {
  description = "Days that logs are kept."
  type        = number
  default     = 30
}

variable "kms_key_arn" {
  description = "KMS key that encrypts the logs; null for the key of CloudWatch Logs."
  type        = string
  default     = null
}

variable "tags" {
  description = "Tags of all resources."
  type        = map(string)
  default     = {}
}
