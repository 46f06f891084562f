variable "name" {
  description = "Name of the load balancer and its target group, shortened if too long, and of its security group."
  type        = string

  validation {
    condition     = can(regex("^[A-Za-z0-9_-]{1,64}$", var.name))
    error_message = "name must be 1 to 64 letters, digits, '-' and '_'."
  }
}

################################################################################
# Network
################################################################################

variable "vpc_id" {
  description = "The VPC of the load balancer and the tasks."
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
  description = "Whether the load balancer is reachable only from the VPC and the networks connected to it."
  type        = bool
}

variable "allowed_cidr_blocks" {
  description = "Addresses of callers."
  type        = set(string)

  validation {
    # Only IPv4 has a netmask.
    condition     = length(var.allowed_cidr_blocks) > 0 && alltrue([for block in var.allowed_cidr_blocks : can(cidrnetmask(block))])
    error_message = "allowed_cidr_blocks must be IPv4 CIDR blocks, at least one, for example 10.0.0.0/8."
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
  description = "ACM certificate for HTTPS; null with plain_http."
  type        = string
  default     = null
}

variable "plain_http" {
  description = "HTTP on port 80 instead of HTTPS, on an internal load balancer only."
  type        = bool
  default     = false
}

variable "idle_timeout_seconds" {
  description = "Seconds after which an idle connection is closed; must be longer than callers may wait for a result."
  type        = number

  validation {
    condition     = var.idle_timeout_seconds >= 1 && var.idle_timeout_seconds <= 4000
    error_message = "idle_timeout_seconds must be 1 to 4000."
  }
}

variable "deregistration_delay_seconds" {
  description = "How long a task that is being removed may finish its requests, in seconds; as long as callers may wait for a result."
  type        = number

  validation {
    condition     = var.deregistration_delay_seconds >= 0 && var.deregistration_delay_seconds <= 3600
    error_message = "deregistration_delay_seconds must be 0 to 3600."
  }
}

variable "access_logs" {
  description = <<-EOT
    Where the load balancer logs requests; null for no logs.

    bucket  name of the bucket
    prefix  what the keys of the logs begin with
  EOT
  type        = object({ bucket = string, prefix = string })
  default     = null
}

variable "web_acl" {
  description = <<-EOT
    AWS WAF web ACL that requests pass through; null for none.

    arn  ARN of the web ACL
  EOT
  type        = object({ arn = string })
  default     = null
}

variable "deletion_protection" {
  description = "Whether the load balancer is protected from deletion."
  type        = bool
  default     = true
}

variable "tags" {
  description = "Tags of all resources."
  type        = map(string)
  default     = {}
}
