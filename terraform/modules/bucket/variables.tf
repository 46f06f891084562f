variable "name" {
  description = "Name of the bucket, unique across all of AWS."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$", var.name))
    error_message = "A bucket's name must be 3 to 63 lowercase letters, digits and '-', and must begin and end with a letter or digit."
  }
}

variable "versioned" {
  description = "Whether overwritten and deleted objects are kept as old versions."
  type        = bool
  default     = false
}

variable "old_versions_days" {
  description = "Days after which old versions of a versioned bucket are deleted."
  type        = number
  default     = 30

  validation {
    condition     = var.old_versions_days >= 1
    error_message = "old_versions_days must be at least 1."
  }
}

variable "expire_after_days" {
  description = "Days after which objects are deleted; null to keep them."
  type        = number
  default     = null

  validation {
    condition     = var.expire_after_days == null ? true : var.expire_after_days >= 1
    error_message = "expire_after_days must be at least 1, or null to keep objects."
  }
}

variable "kms_key_arn" {
  description = "KMS key that encrypts the objects; null for the key that S3 owns."
  type        = string
  default     = null

  validation {
    condition     = var.kms_key_arn == null || can(regex("^arn:[^:]+:kms:[^:]+:[0-9]{12}:key/.+$", var.kms_key_arn))
    error_message = "kms_key_arn must be the ARN of a KMS key (arn:aws:kms:REGION:ACCOUNT:key/ID), not an alias or an id."
  }
}

variable "force_destroy" {
  description = "Whether the bucket may be destroyed together with its objects."
  type        = bool
  default     = false
}

variable "tags" {
  description = "Tags of the bucket."
  type        = map(string)
  default     = {}
}
