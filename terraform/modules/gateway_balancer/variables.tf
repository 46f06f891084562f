variable "name" {
  description = "Name of the load balancer and its target group, shortened where it is too long, and of its security group."
  type        = string

  validation {
    condition     = can(regex("^[A-Za-z0-9_-]{1,64}$", var.name))
    error_message = "name must be 1 to 64 of letters, digits, '-' and '_'."
  }
}

################################################################################
# Network
################################################################################

variable "vpc_id" {
  description = "The VPC of load balancer and tasks."
  type        = string
}

variable "subnet_ids" {
  description = "Subnets of the load balancer, in two Availability Zones or more; public ones unless it is internal."
  type        = list(string)

  validation {
    condition     = length(var.subnet_ids) >= 2
    error_message = "A load balancer needs subnets in two Availability Zones or more (Elastic Load Balancing, \"Application Load Balancers\", \"Subnets for your load balancer\")."
  }
}

variable "internal" {
  description = "Whether only the VPC, and what is connected to it, reaches the load balancer."
  type        = bool
}

variable "allowed_cidr_blocks" {
  description = "Addresses of callers."
  type        = set(string)

  validation {
    # Of IPv4 alone there is a netmask.
    condition     = length(var.allowed_cidr_blocks) > 0 && alltrue([for block in var.allowed_cidr_blocks : can(cidrnetmask(block))])
    error_message = "allowed_cidr_blocks must be CIDR blocks of IPv4, at least one, for example 10.0.0.0/8."
  }
}

variable "task_security_group_id" {
  description = "Security group of the gateway's tasks, which gets a rule for the load balancer."
  type        = string
}

variable "task_port" {
  description = "Port that the gateway listens on."
  type        = number
}

################################################################################
# Load balancer
################################################################################

variable "certificate_arn" {
  description = "Certificate of ACM for HTTPS; null with plain_http."
  type        = string
  default     = null
}

variable "plain_http" {
  description = "HTTP on port 80 instead of HTTPS, on an internal load balancer only."
  type        = bool
  default     = false
}

variable "idle_timeout_seconds" {
  description = "After how many seconds without a byte a connection is closed; longer than callers may wait for a result."
  type        = number

  validation {
    condition     = var.idle_timeout_seconds >= 1 && var.idle_timeout_seconds <= 4000
    error_message = "idle_timeout_seconds must be 1 to 4000."
  }
}

variable "deregistration_delay_seconds" {
  description = "How long a task that is going away may finish its requests, in seconds; as long as callers may wait for a result."
  type        = number

  validation {
    condition     = var.deregistration_delay_seconds >= 0 && var.deregistration_delay_seconds <= 3600
    error_message = "deregistration_delay_seconds must be 0 to 3600."
  }
}

variable "access_logs" {
  description = "Where the load balancer logs requests: bucket and prefix; null for nowhere."
  type        = object({ bucket = string, prefix = string })
  default     = null
}

variable "web_acl" {
  description = "Web ACL of AWS WAF that requests pass: arn; null for none."
  type        = object({ arn = string })
  default     = null
}

variable "deletion_protection" {
  description = "Whether Elastic Load Balancing refuses to delete the load balancer."
  type        = bool
  default     = true
}

variable "tags" {
  description = "Tags of all resources."
  type        = map(string)
  default     = {}
}
