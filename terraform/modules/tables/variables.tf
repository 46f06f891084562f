variable "prefix" {
  description = "Prefix of both table names."
  type        = string

  validation {
    condition     = can(regex("^[A-Za-z0-9_-]{1,40}$", var.prefix))
    error_message = "prefix must be 1 to 40 letters, digits, '-' and '_'."
  }
}

variable "deletion_protection" {
  description = "Whether the tables are protected from deletion."
  type        = bool
  default     = true
}

variable "kms_key_arn" {
  description = "KMS key that encrypts the tables; null for the key that DynamoDB owns."
  type        = string
  default     = null

  validation {
    condition     = var.kms_key_arn == null || can(regex("^arn:[^:]+:kms:[^:]+:[0-9]{12}:key/.+$", var.kms_key_arn))
    error_message = "kms_key_arn must be the ARN of a KMS key (arn:aws:kms:REGION:ACCOUNT:key/ID), not an alias or an id."
  }
}

variable "tags" {
  description = "Tags of both tables."
  type        = map(string)
  default     = {}
}
