variable "names" {
  description = "Names of the repositories by what they hold, for example {consumer = \"inference-engine-prod-consumer\"}."
  type        = map(string)

  validation {
    condition     = alltrue([for name in values(var.names) : can(regex("^[a-z0-9]+([._/-]+[a-z0-9]+)*$", name))])
    error_message = "A repository's name may have lowercase letters and digits, with '-', '_', '.' and '/' between them."
  }
}

variable "keep_images" {
  description = "Images that a repository keeps; the oldest are deleted first."
  type        = number
  default     = 30

  validation {
    condition     = var.keep_images >= 1
    error_message = "keep_images must be at least 1."
  }
}

variable "kms_key_arn" {
  description = "KMS key that encrypts the images; null for the key that ECR owns. A change replaces the repositories."
  type        = string
  default     = null

  validation {
    condition     = var.kms_key_arn == null || can(regex("^arn:[^:]+:kms:[^:]+:[0-9]{12}:key/.+$", var.kms_key_arn))
    error_message = "kms_key_arn must be the ARN of a KMS key (arn:aws:kms:REGION:ACCOUNT:key/ID), not an alias or an id."
  }
}

variable "force_delete" {
  description = "Whether a repository may be destroyed together with its images."
  type        = bool
  default     = false
}

variable "tags" {
  description = "Tags of the repositories."
  type        = map(string)
  default     = {}
}
