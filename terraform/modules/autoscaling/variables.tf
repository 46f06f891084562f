variable "cluster_name" {
  description = "Name of the cluster."
  type        = string
}

variable "service_name" {
  description = "Name of the service whose tasks are scaled."
  type        = string
}

variable "metric_namespace" {
  description = "CloudWatch namespace of the backlog metrics."
  type        = string
}

variable "deployment" {
  description = "Value of the backlog metrics' dimension Deployment."
  type        = string
}

variable "scaling" {
  description = <<-EOT
    How many tasks run.

    min_capacity                the fewest tasks
    max_capacity                the most tasks
    target_backlog_seconds      backlog per task to aim at, in seconds of work
    scale_in_cooldown_seconds   pause after tasks were stopped
    scale_out_cooldown_seconds  pause after tasks were started
    wake_tasks                  tasks to start when scaling from zero
    schedules                   other limits from a time on, by name: schedule as cron(...), rate(...) or at(...), timezone,
                                min_capacity, max_capacity
  EOT
  type = object({
    min_capacity               = number
    max_capacity               = number
    target_backlog_seconds     = number
    scale_in_cooldown_seconds  = number
    scale_out_cooldown_seconds = number
    wake_tasks                 = number
    schedules = map(object({
      schedule     = string
      timezone     = string
      min_capacity = number
      max_capacity = number
    }))
  })

  validation {
    condition     = var.scaling.min_capacity >= 0 && var.scaling.max_capacity >= max(1, var.scaling.min_capacity)
    error_message = "scaling.min_capacity must be at least 0, and max_capacity at least 1 and not below min_capacity."
  }

  validation {
    condition = alltrue([
      for action in values(var.scaling.schedules) : action.min_capacity >= 0 && action.max_capacity >= max(1, action.min_capacity)
    ])
    error_message = "Each of scaling.schedules needs a min_capacity of at least 0, and a max_capacity of at least 1 and not below it."
  }
}

variable "tags" {
  description = "Tags of the scalable target and the alarm."
  type        = map(string)
  default     = {}
}
