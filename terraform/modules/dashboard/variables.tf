variable "prefix" {
  description = "Name of the dashboard; also the value of the backlog metrics' dimension Deployment."
  type        = string
}

variable "region" {
  description = "AWS Region of the metrics."
  type        = string
}

################################################################################
# What is shown
################################################################################

variable "metric_namespace" {
  description = "CloudWatch namespace of the backlog metrics."
  type        = string
}

variable "dead_letter_queue_name" {
  description = "Name of the dead-letter queue."
  type        = string
}

variable "placement_queue_names" {
  description = "Names of the placement queues."
  type        = list(string)
}

variable "table_names" {
  description = "Names of the DynamoDB tables."
  type        = list(string)
}

variable "function_names" {
  description = "Names of the Lambda functions."
  type        = list(string)
}

variable "cluster_name" {
  description = "Name of the ECS cluster."
  type        = string
}

variable "service_names" {
  description = "Names of the ECS services."
  type        = list(string)
}

variable "gateway" {
  description = <<-EOT
    The gateway; null for none.

    load_balancer  value of its metrics' dimension LoadBalancer
    target_group   value of their dimension TargetGroup
    slow_seconds   seconds of its response time, drawn as a line
  EOT
  type = object({
    load_balancer = string
    target_group  = string
    slow_seconds  = number
  })
  default = null
}

variable "webhook_queue_names" {
  description = "Names of the webhooks' queues; empty if webhooks are disabled."
  type        = list(string)
  default     = []
}

################################################################################
# Lines
################################################################################

variable "target_backlog_seconds" {
  description = "The backlog per task that autoscaling aims at, in seconds."
  type        = number
}

variable "max_tasks" {
  description = "The most tasks that autoscaling may run."
  type        = number
}

variable "oldest_job_age_seconds" {
  description = "Age of the oldest waiting job above which an alarm is raised, in seconds."
  type        = number
}
