################################################################################
# What is monitored
################################################################################

variable "prefix" {
  description = "Prefix of the alarms' names; also the value of the backlog metrics' dimension Deployment."
  type        = string
}

variable "metric_namespace" {
  description = "CloudWatch namespace of the backlog metrics."
  type        = string
}

variable "dead_letter_queue_name" {
  description = "Name of the dead-letter queue."
  type        = string
}

variable "table_names" {
  description = "Names of the DynamoDB tables."
  type        = set(string)
}

variable "function_names" {
  description = "Names of the Lambda functions."
  type        = set(string)
}

variable "gateway" {
  description = <<-EOT
    The gateway; null for none.

    load_balancer  value of its metrics' dimension LoadBalancer
    target_group   value of their dimension TargetGroup
    slow_seconds   p99 of its response time above which an alarm is raised, in seconds
  EOT
  type = object({
    load_balancer = string
    target_group  = string
    slow_seconds  = number
  })
  default = null
}

variable "webhooks" {
  description = <<-EOT
    The webhooks; null for none.

    queue_name       queue of deliveries
    dead_queue_name  queue of those that were given up
    function_name    name of the function
  EOT
  type = object({
    queue_name      = string
    dead_queue_name = string
    function_name   = string
  })
  default = null
}

################################################################################
# Thresholds
################################################################################

variable "oldest_job_age_seconds" {
  description = "Age of the oldest waiting job above which an alarm is raised, in seconds."
  type        = number

  validation {
    condition     = var.oldest_job_age_seconds > 0
    error_message = "oldest_job_age_seconds must be above 0."
  }
}

variable "max_tasks" {
  description = "The most tasks that autoscaling may run."
  type        = number
}

variable "target_backlog_seconds" {
  description = "The backlog per task that autoscaling aims at, in seconds."
  type        = number
}

################################################################################
# Notifications
################################################################################

variable "topic_arns" {
  description = "SNS topics that are notified of an alarm and of its end."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for arn in var.topic_arns : can(regex("^arn:[^:]+:sns:[^:]+:[0-9]{12}:.+$", arn))])
    error_message = "topic_arns must be ARNs of SNS topics (arn:aws:sns:REGION:ACCOUNT:NAME)."
  }
}

variable "runbook_url" {
  description = "Address of the runbook; each alarm names its section there."
  type        = string
}

variable "tags" {
  description = "Tags of the alarms."
  type        = map(string)
  default     = {}
}
