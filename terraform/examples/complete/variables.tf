variable "environment" {
  description = "Name of the environment."
  type        = string
  default     = "example"
}

variable "zones" {
  description = "Letters of the Availability Zones that get a subnet."
  type        = list(string)
  default     = ["a", "b"]

  validation {
    condition     = length(var.zones) > 0 && alltrue([for letter in var.zones : can(regex("^[a-z]$", letter))])
    error_message = "zones must be letters of Availability Zones, for example [\"a\", \"b\"]."
  }
}

variable "labels" {
  description = "Labels whose queues exist before their first job."
  type        = set(string)
  default     = ["resnet50", "minilm"]
}

variable "message_max_bytes" {
  description = "Largest message of the queues, in bytes; 262144 with versions of the AWS provider before 6.8."
  type        = number
  default     = 1048576
}

variable "lambda_zips_dir" {
  description = "Folder of the Lambdas' zips; null for lambdas/dist of this repository."
  type        = string
  default     = null
}

variable "lambda_runtime" {
  description = "Lambda runtime that the zips were made for."
  type        = string
  default     = "python3.13"
}

variable "lambda_architecture" {
  description = "Processor architecture that the zips were made for."
  type        = string
  default     = "arm64"
}

variable "backlog_metrics_reserved_concurrency" {
  description = "Runs of backlog_metrics at the same time; null in accounts whose quota of concurrent runs is 10."
  type        = number
  default     = 1
}

variable "tags" {
  description = "More tags of all resources."
  type        = map(string)
  default     = {}
}
