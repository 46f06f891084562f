variable "name" {
  description = "Name of the cluster."
  type        = string

  validation {
    condition     = can(regex("^[A-Za-z0-9_-]{1,255}$", var.name))
    error_message = "A cluster's name must consist of letters, digits, '-' and '_'."
  }
}

variable "gpu_capacity_provider" {
  description = "An existing ECS capacity provider of GPU instances, in addition to those of Fargate; null for none."
  type        = string
  default     = null
}

variable "tags" {
  description = "Tags of the cluster."
  type        = map(string)
  default     = {}
}
