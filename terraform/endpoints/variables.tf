################################################################################
# The VPC
################################################################################

variable "vpc_id" {
  description = "The VPC that gets the endpoints. It needs DNS support and DNS host names."
  type        = string

  validation {
    condition     = can(regex("^vpc-[0-9a-f]+$", var.vpc_id))
    error_message = "vpc_id must be the id of a VPC (vpc-...)."
  }
}

variable "subnet_ids" {
  description = "Private subnets, one in each Availability Zone that tasks run in; the interface endpoints get an address in each."
  type        = list(string)

  validation {
    condition     = length(var.subnet_ids) > 0 && alltrue([for id in var.subnet_ids : can(regex("^subnet-[0-9a-f]+$", id))])
    error_message = "subnet_ids must be ids of subnets (subnet-...), at least one."
  }
}

variable "route_table_ids" {
  description = "Route tables of those subnets; the gateway endpoints get a route in each."
  type        = list(string)

  validation {
    condition     = length(var.route_table_ids) > 0 && alltrue([for id in var.route_table_ids : can(regex("^rtb-[0-9a-f]+$", id))])
    error_message = "route_table_ids must be ids of route tables (rtb-...), at least one: without a route, tasks reach neither S3 nor DynamoDB nor image layers."
  }
}

variable "other_cidr_blocks" {
  description = "Additional addresses that may use the interface endpoints, for example the VPC's secondary ranges."
  type        = set(string)
  default     = []

  validation {
    # Only IPv4 has a netmask.
    condition     = alltrue([for block in var.other_cidr_blocks : can(cidrnetmask(block))])
    error_message = "other_cidr_blocks must be IPv4 CIDR blocks, for example 10.1.0.0/16."
  }
}

################################################################################
# Options
################################################################################

variable "name" {
  description = "Prefix of the names of the security group and the endpoints."
  type        = string
  default     = "inference-engine"

  validation {
    condition     = can(regex("^[A-Za-z0-9_-]{1,60}$", var.name)) && !startswith(var.name, "sg-")
    error_message = "name must be 1 to 60 letters, digits, '-' and '_', and must not begin with sg-."
  }
}

variable "ssm" {
  description = "Whether to create an endpoint for SSM, for clients in the VPC that read an environment's parameters; consumers do not read them."
  type        = bool
  default     = false
}

variable "ecs" {
  description = "Whether to create endpoints for ECS itself: for GPU instances without other access to AWS, and for Fargate where the task protection endpoint does not respond."
  type        = bool
  default     = false
}

variable "tags" {
  description = "Tags of all resources."
  type        = map(string)
  default     = {}
}
