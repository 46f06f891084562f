################################################################################
# Names
################################################################################

variable "prefix" {
  description = "Prefix of all queue names."
  type        = string

  validation {
    condition     = can(regex("^[A-Za-z0-9_-]{1,40}$", var.prefix))
    error_message = "prefix must be 1 to 40 letters, digits, '-' and '_'."
  }
}

variable "cells" {
  description = "Number of cells that a large fleet is split into; each has its own placement queue."
  type        = number
  default     = 1

  validation {
    condition     = var.cells >= 1 && floor(var.cells) == var.cells
    error_message = "cells must be a whole number of at least 1."
  }
}

variable "labels" {
  description = "Labels whose queues exist before their first job."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for label in var.labels : can(regex("^[A-Za-z0-9_-]+$", label))])
    error_message = "Labels declared in advance may contain only letters, digits, '-' and '_'. The library creates queues with hashed names for other labels on their first post: leave them out here."
  }

  validation {
    condition = alltrue([
      for label in var.labels : !can(regex("^(placement(--[0-9]+)?|dead-letters|.*--[0-9a-f]{10})$", label))
    ])
    error_message = "Labels named placement, placement--N, dead-letters, or ending in '--' and ten hexadecimal digits are reserved for the deployment's own queues: leave them out here."
  }
}

################################################################################
# Attributes
################################################################################

variable "message_max_bytes" {
  description = "Largest message in bytes. Versions of the AWS provider before 6.8 reject more than 262144."
  type        = number
  default     = 1048576

  validation {
    condition     = var.message_max_bytes >= 131072 && var.message_max_bytes <= 1048576
    error_message = "message_max_bytes must be 131072 to 1048576 (SQS's limit of 1 MiB; versions of the AWS provider before 6.8 stop at 262144)."
  }
}

variable "visibility_timeout_seconds" {
  description = "How long a received message stays hidden from other consumers, in seconds."
  type        = number
  default     = 30

  validation {
    condition     = var.visibility_timeout_seconds >= 3 && var.visibility_timeout_seconds <= 43200
    error_message = "visibility_timeout_seconds must be 3 to 43200 (12 hours)."
  }
}

variable "wait_time_seconds" {
  description = "How long a receive waits for a message, in seconds."
  type        = number
  default     = 20

  validation {
    condition     = var.wait_time_seconds >= 0 && var.wait_time_seconds <= 20
    error_message = "wait_time_seconds must be 0 to 20."
  }
}

variable "max_receive_count" {
  description = "How often a message may be received before it is dead-lettered."
  type        = number
  default     = 10

  validation {
    condition     = var.max_receive_count >= 5 && var.max_receive_count <= 1000
    error_message = "max_receive_count must be 5 to 1000: a message that is returned to its queue counts as received, so a low number dead-letters healthy jobs."
  }
}

variable "tags" {
  description = "Tags of every queue."
  type        = map(string)
  default     = {}
}
