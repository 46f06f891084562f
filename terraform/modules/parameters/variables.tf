variable "path" {
  description = "Path that all names begin with, without a trailing slash."
  type        = string

  validation {
    condition     = can(regex("^/[A-Za-z0-9_./-]*[A-Za-z0-9_.-]$", var.path))
    error_message = "path must begin with '/' and not end with it, for example /inference-engine/prod."
  }
}

variable "values" {
  description = "Values by name below the path; no secrets."
  type        = map(string)
}

variable "tags" {
  description = "Tags of the parameters."
  type        = map(string)
  default     = {}
}
