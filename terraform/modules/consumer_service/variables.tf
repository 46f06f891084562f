variable "name" {
  description = "Name of the service and of its tasks' security group."
  type        = string

  validation {
    condition     = can(regex("^[A-Za-z0-9_-]{1,255}$", var.name))
    error_message = "A service's name must consist of letters, digits, '-' and '_'."
  }
}

################################################################################
# What runs
################################################################################

variable "cluster_arn" {
  description = "ARN of the cluster."
  type        = string
}

variable "task_definition_arn" {
  description = "ARN of the task definition, with its revision."
  type        = string
}

variable "initial_count" {
  description = "Tasks that the service starts with; autoscaling changes the count afterwards."
  type        = number

  validation {
    condition     = var.initial_count >= 0 && floor(var.initial_count) == var.initial_count
    error_message = "initial_count must be a whole number of at least 0."
  }
}

################################################################################
# Where it runs
################################################################################

variable "fargate" {
  description = "Whether the tasks run on Fargate; if not, on instances of a capacity provider."
  type        = bool
}

variable "capacity_providers" {
  description = "Capacity providers with their base (tasks that are placed there first) and weight (share of the remaining tasks)."
  type        = list(object({ name = string, base = number, weight = number }))

  validation {
    condition     = anytrue([for provider in var.capacity_providers : provider.weight > 0])
    error_message = "At least one capacity provider needs a weight above 0."
  }

  validation {
    condition     = length([for provider in var.capacity_providers : provider if provider.base > 0]) <= 1
    error_message = "Only one capacity provider may have a base."
  }
}

variable "network" {
  description = <<-EOT
    Where tasks run and what they reach over HTTPS: vpc_id, subnet_ids, endpoint_security_group_ids (of the interface
    endpoints), prefix_list_ids (of the gateway endpoints, by service), egress_cidr_blocks.
  EOT
  type = object({
    vpc_id                      = string
    subnet_ids                  = list(string)
    endpoint_security_group_ids = list(string)
    prefix_list_ids             = map(string)
    egress_cidr_blocks          = list(string)
  })
}

variable "deployment" {
  description = "The fewest (minimum_healthy_percent) and the most (maximum_percent) tasks during a deployment."
  type        = object({ minimum_healthy_percent = number, maximum_percent = number })
}

variable "tags" {
  description = "Tags of the service, its tasks and the security group."
  type        = map(string)
  default     = {}
}
