variable "environment" {
  description = "Name of the environment."
  type        = string
  default     = "example"
}

variable "zones" {
  description = "Letters of the Availability Zones that get a subnet; null for the first two that are available to the account in the Region."
  type        = list(string)
  default     = null

  validation {
    condition     = var.zones == null ? true : length(var.zones) > 0 && alltrue([for letter in var.zones : can(regex("^[a-z]$", letter))])
    error_message = "zones must be letters of Availability Zones, for example [\"a\", \"b\"]."
  }
}

variable "labels" {
  description = "Labels whose queues exist before their first job."
  type        = set(string)
  default     = ["resnet50", "minilm"]
}

variable "message_max_bytes" {
  description = "Largest message of the queues, in bytes; set 262144 with versions of the AWS provider before 6.8."
  type        = number
  default     = 1048576
}

variable "lambda_zips_dir" {
  description = "Folder of the Lambdas' zips; null for lambdas/dist of this repository."
  type        = string
  default     = null
}

variable "lambda_runtime" {
  description = "Lambda runtime that the zips were built for."
  type        = string
  default     = "python3.13"
}

variable "lambda_architecture" {
  description = "Processor architecture that the zips were built for."
  type        = string
  default     = "arm64"
}

variable "backlog_metrics_reserved_concurrency" {
  description = "Reserved concurrency of backlog_metrics; null in accounts whose concurrency quota is not well above 100."
  type        = number
  default     = 1
}

variable "ecs_endpoints" {
  description = "Whether to create the endpoints for ECS itself: `ecs` of the endpoints stack."
  type        = bool
  default     = false
}

# These have the fields of the inference_pipeline stack, which also validates them.

variable "compute" {
  description = "What a task gets, and where it runs: `compute` of the inference_pipeline stack."
  type        = any
  default     = { cpu = 1024, memory_mib = 4096 }
}

variable "consumer" {
  description = "The consumer: `consumer` of the inference_pipeline stack."
  type        = any
  default     = {}
}

variable "triton" {
  description = "The Triton server beside each consumer: `triton` of the inference_pipeline stack."
  type        = any
  default     = {}
}

variable "scaling" {
  description = "How many tasks run: `scaling` of the inference_pipeline stack."
  type        = any
  default     = { min_capacity = 0, max_capacity = 2 }
}

variable "gateway" {
  description = "The HTTP gateway: `gateway` of the inference_pipeline stack. The VPC has no internet access, so the load balancer must be internal."
  type        = any
  default     = {}
}

variable "webhooks" {
  description = "Requests to callback URLs: `webhooks` of the inference_pipeline stack."
  type        = any
  default     = {}
}

variable "tags" {
  description = "Additional tags of all resources."
  type        = map(string)
  default     = {}
}
