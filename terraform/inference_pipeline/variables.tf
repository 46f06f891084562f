################################################################################
# Names
################################################################################

variable "environment" {
  description = "Name of this environment, for example prod; unique in the account, across all Regions. It is part of the path of its SSM parameters and, unless prefix is set, of all names."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9]{0,19}$", var.environment))
    error_message = "environment must be 1 to 20 lowercase letters and digits, beginning with a letter. No '-': the permissions of 'prod' would cover the queues of 'prod-eu'."
  }
}

variable "prefix" {
  description = "Prefix of all names; null for inference-engine-ENVIRONMENT. Within an account, across all Regions, prefixes must be unique, and none may begin with another one followed by '-'."
  type        = string
  default     = null

  validation {
    condition     = var.prefix == null || (can(regex("^[A-Za-z][A-Za-z0-9_-]{0,39}$", var.prefix)) && !can(regex("^sg-", var.prefix)))
    error_message = "prefix must be 1 to 40 letters, digits, '-' and '_', beginning with a letter, but not with sg-: names of repositories and security groups are derived from it."
  }
}

variable "tags" {
  description = "Additional tags of all resources."
  type        = map(string)
  default     = {}
}

################################################################################
# Network: outputs of the endpoints stack
################################################################################

variable "vpc_id" {
  description = "The VPC that tasks run in."
  type        = string

  validation {
    condition     = can(regex("^vpc-[0-9a-f]+$", var.vpc_id))
    error_message = "vpc_id must be the id of a VPC (vpc-...)."
  }
}

variable "subnet_ids" {
  description = "The private subnets that tasks run in."
  type        = list(string)

  validation {
    condition     = length(var.subnet_ids) > 0 && alltrue([for id in var.subnet_ids : can(regex("^subnet-[0-9a-f]+$", id))])
    error_message = "subnet_ids must be ids of subnets (subnet-...), at least one."
  }
}

variable "endpoint_security_group_ids" {
  description = "Security groups of the VPC's interface endpoints (security_group_id of the endpoints stack), which tasks may reach."
  type        = list(string)
  default     = []
}

variable "prefix_list_ids" {
  description = "Prefix lists of the VPC's gateway endpoints by service (prefix_list_ids of the endpoints stack), which tasks may reach."
  type        = map(string)
  default     = {}
}

variable "egress_cidr_blocks" {
  description = "Other addresses that tasks may reach over HTTPS, for example 0.0.0.0/0 behind a NAT gateway."
  type        = list(string)
  default     = []

  validation {
    # Only IPv4 has a netmask.
    condition     = alltrue([for block in var.egress_cidr_blocks : can(cidrnetmask(block))])
    error_message = "egress_cidr_blocks must be IPv4 CIDR blocks, for example 0.0.0.0/0."
  }

  validation {
    condition     = length(var.egress_cidr_blocks) > 0 || (length(var.endpoint_security_group_ids) > 0 && length(var.prefix_list_ids) > 0)
    error_message = "Tasks could not reach AWS: set endpoint_security_group_ids and prefix_list_ids (outputs of the endpoints stack), or egress_cidr_blocks."
  }
}

################################################################################
# Queues and jobs: settings of the library
################################################################################

variable "cells" {
  description = "Number of cells that a large fleet is split into; each has its own placement queue and service."
  type        = number
  default     = 1

  validation {
    condition     = var.cells >= 1 && var.cells <= 10 && floor(var.cells) == var.cells
    error_message = "cells must be a whole number from 1 to 10."
  }
}

variable "labels" {
  description = "Labels whose queues exist before their first job. Queues of other labels are created on their first post."
  type        = set(string)
  default     = []
}

variable "auto_create_queues" {
  description = "Whether a label's queue is created on its first post. If not, only labels and `inference-engine labels create` create queues."
  type        = bool
  default     = true
}

variable "message_max_bytes" {
  description = "Largest message of the queues created here, in bytes; larger bodies travel through S3. Versions of the AWS provider before 6.8 reject more than 262144."
  type        = number
  default     = 1048576

  validation {
    condition     = var.message_max_bytes >= 131072 && var.message_max_bytes <= 1048576
    error_message = "message_max_bytes must be 131072 to 1048576 (SQS's limit of 1 MiB; versions of the AWS provider before 6.8 stop at 262144)."
  }
}

variable "visibility_timeout_seconds" {
  description = "Visibility timeout in seconds: how long a job stays hidden from other consumers after its consumer has died."
  type        = number
  default     = 30

  validation {
    condition     = var.visibility_timeout_seconds >= 3 && var.visibility_timeout_seconds <= 43200
    error_message = "visibility_timeout_seconds must be 3 to 43200 (12 hours)."
  }
}

variable "wait_time_seconds" {
  description = "How long a receive waits for a message, in seconds."
  type        = number
  default     = 20

  validation {
    condition     = var.wait_time_seconds >= 0 && var.wait_time_seconds <= 20
    error_message = "wait_time_seconds must be 0 to 20."
  }
}

variable "max_receive_count" {
  description = "How often a message may be received before it is dead-lettered."
  type        = number
  default     = 10

  validation {
    condition     = var.max_receive_count >= 5 && var.max_receive_count <= 1000
    error_message = "max_receive_count must be 5 to 1000: a message that is returned to its queue counts as received, so a low number dead-letters healthy jobs."
  }
}

variable "payload_retention_days" {
  description = "Days that bodies and results are kept in S3. A message can wait for 14 days, and needs its body."
  type        = number
  default     = 15

  validation {
    condition     = var.payload_retention_days >= 15
    error_message = "payload_retention_days must be at least 15: SQS keeps a message for 14 days, and the message refers to its body."
  }
}

################################################################################
# Consumers
################################################################################

variable "compute" {
  description = <<-EOT
    Resources of a task of the fleet, and where it runs.

    cpu                      CPU units; 1024 is one vCPU
    memory_mib               for the consumer, Triton and all loaded models together
    architecture             X86_64 or ARM64, the same as the images
    ephemeral_storage_gib    disk for models (Fargate)
    fargate_base             tasks that are placed on FARGATE before any is placed on FARGATE_SPOT
    fargate_weight           share of the remaining tasks on FARGATE …
    fargate_spot_weight      … and on FARGATE_SPOT
    gpu_capacity_provider    an existing ECS capacity provider of GPU instances; null for Fargate
    gpus                     GPUs per task, with gpu_capacity_provider
    minimum_healthy_percent  the fewest tasks during a deployment, in percent of the desired count …
    maximum_percent          … and the most; 0 and 100 where there are no spare GPUs
  EOT
  type = object({
    cpu                     = optional(number, 2048)
    memory_mib              = optional(number, 8192)
    architecture            = optional(string, "X86_64")
    ephemeral_storage_gib   = optional(number, 50)
    fargate_base            = optional(number, 1)
    fargate_weight          = optional(number, 1)
    fargate_spot_weight     = optional(number, 3)
    gpu_capacity_provider   = optional(string)
    gpus                    = optional(number, 1)
    minimum_healthy_percent = optional(number, 100)
    maximum_percent         = optional(number, 200)
  })
  default = {}

  validation {
    condition     = contains(["X86_64", "ARM64"], var.compute.architecture)
    error_message = "compute.architecture must be X86_64 or ARM64."
  }

  validation {
    condition = var.compute.gpu_capacity_provider != null || contains(lookup({
      256   = [512, 1024, 2048]
      512   = range(1024, 4097, 1024)
      1024  = range(2048, 8193, 1024)
      2048  = range(4096, 16385, 1024)
      4096  = range(8192, 30721, 1024)
      8192  = range(16384, 61441, 4096)
      16384 = range(32768, 122881, 8192)
    }, tostring(var.compute.cpu), []), var.compute.memory_mib)
    error_message = "Fargate has no task of that size. Valid combinations of compute.cpu and compute.memory_mib: 1024 with 2048 to 8192, 2048 with 4096 to 16384, 4096 with 8192 to 30720 (steps of 1024), 8192 with 16384 to 61440 (4096), 16384 with 32768 to 122880 (8192)."
  }

  validation {
    condition     = var.compute.ephemeral_storage_gib >= 21 && var.compute.ephemeral_storage_gib <= 200
    error_message = "compute.ephemeral_storage_gib must be 21 to 200."
  }

  validation {
    condition     = var.compute.gpu_capacity_provider != null || var.compute.fargate_weight + var.compute.fargate_spot_weight > 0
    error_message = "compute.fargate_weight and compute.fargate_spot_weight must not both be 0: no task could be placed."
  }

  validation {
    condition     = min(var.compute.fargate_base, var.compute.fargate_weight, var.compute.fargate_spot_weight) >= 0
    error_message = "compute.fargate_base and the weights must be at least 0."
  }

  validation {
    condition     = var.compute.gpu_capacity_provider == null || !contains(["FARGATE", "FARGATE_SPOT"], coalesce(var.compute.gpu_capacity_provider, "none"))
    error_message = "compute.gpu_capacity_provider must be a capacity provider of GPU instances: Fargate has no GPUs. Leave it null for Fargate."
  }

  validation {
    condition     = var.compute.gpus >= 1 && floor(var.compute.gpus) == var.compute.gpus
    error_message = "compute.gpus must be a whole number of at least 1; without GPUs leave gpu_capacity_provider null."
  }

  validation {
    condition = (
      var.compute.minimum_healthy_percent >= 0 && var.compute.minimum_healthy_percent <= 100
      && var.compute.maximum_percent >= 100 && var.compute.maximum_percent > var.compute.minimum_healthy_percent
    )
    error_message = "compute.minimum_healthy_percent must be 0 to 100, and maximum_percent at least 100 and above it: otherwise a deployment could neither start nor stop a task."
  }
}

variable "consumer" {
  description = <<-EOT
    The consumer.

    image          null for image_tag in the repository created here
    image_tag      tag in that repository, where tags cannot be overwritten
    user           user or uid of the container; null for the image's own
    command        arguments of `inference-engine consume`; null for Triton with models from the models bucket
    models_prefix  folder of the models bucket that holds a folder per label
    max_labels     labels that a task may hold at the same time
    memory_budget  memory for models, instead of max_labels; for example 12GiB
    model_disk     disk that models may take, for example 40GiB; null for no limit
    drain_seconds  how long a stopping consumer lets its jobs continue
    environment    additional environment variables, no secrets
    policy_arns    additional policies of the tasks' role, by a name of your choice
  EOT
  type = object({
    image         = optional(string)
    image_tag     = optional(string, "1")
    user          = optional(string, "10001")
    command       = optional(list(string))
    models_prefix = optional(string, "")
    max_labels    = optional(number, 4)
    memory_budget = optional(string)
    model_disk    = optional(string)
    drain_seconds = optional(number, 90)
    environment   = optional(map(string), {})
    policy_arns   = optional(map(string), {})
  })
  default = {}

  validation {
    condition     = var.triton.enabled || var.consumer.command != null
    error_message = "Without Triton, consumer.command must name what computes, for example [\"--function\", \"my_app:compute\"], and consumer.image must contain it."
  }

  validation {
    condition     = var.consumer.max_labels >= 1 && floor(var.consumer.max_labels) == var.consumer.max_labels
    error_message = "consumer.max_labels must be a whole number of at least 1."
  }

  validation {
    condition = alltrue([
      for size in [var.consumer.memory_budget, var.consumer.model_disk] :
      size == null || can(regex("^[0-9]+(\\.[0-9]+)?([kKmMgGtT]i?[bB]?)?$", size))
    ])
    error_message = "consumer.memory_budget and consumer.model_disk must be sizes such as 500MB or 12GiB."
  }

  validation {
    condition     = var.consumer.drain_seconds > 0 && var.consumer.drain_seconds <= 110
    error_message = "consumer.drain_seconds must be above 0 and at most 110: ECS kills the container 120 seconds after SIGTERM, and drained jobs' results still have to be written."
  }

  validation {
    condition     = alltrue([for name in keys(var.consumer.environment) : can(regex("^[A-Za-z_][A-Za-z0-9_]*$", name))])
    error_message = "consumer.environment must have names of letters, digits and '_'."
  }
}

variable "triton" {
  description = <<-EOT
    The Triton server beside each consumer.

    enabled               false for consumers that compute without Triton
    image                 null for image_tag in the mirror repository created here
    image_tag             tag in that repository
    user                  user or uid of the container; 1000 in NVIDIA's image; null for the image's own
    exit_timeout_seconds  how long a stopping server lets its models finish
    arguments             additional options of tritonserver
    shared_memory_mib     for Python models, on GPU instances; it cannot be set on Fargate
  EOT
  type = object({
    enabled              = optional(bool, true)
    image                = optional(string)
    image_tag            = optional(string, "24.12-py3")
    user                 = optional(string, "1000")
    exit_timeout_seconds = optional(number, 20)
    arguments            = optional(list(string), [])
    shared_memory_mib    = optional(number, 1024)
  })
  default = {}

  validation {
    condition     = var.triton.exit_timeout_seconds >= 1 && var.triton.exit_timeout_seconds <= 110
    error_message = "triton.exit_timeout_seconds must be 1 to 110: ECS kills the container ten seconds later, and its limit is 120."
  }

  validation {
    condition     = var.triton.shared_memory_mib >= 64
    error_message = "triton.shared_memory_mib must be at least 64."
  }
}

variable "other_repository_arns" {
  description = "ARNs of further ECR repositories that images are pulled from."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for arn in var.other_repository_arns : can(regex("^arn:[^:]+:ecr:[^:]+:[0-9]{12}:repository/.+$", arn))])
    error_message = "other_repository_arns must be ARNs of ECR repositories (arn:aws:ecr:REGION:ACCOUNT:repository/NAME)."
  }
}

variable "scaling" {
  description = <<-EOT
    How many tasks run, per cell.

    min_capacity                the fewest tasks; 0 to scale to zero when there is no work
    max_capacity                the most tasks
    target_backlog_seconds      backlog per task that autoscaling aims at, in seconds of work
    scale_in_cooldown_seconds   time between two scale-ins
    scale_out_cooldown_seconds  time between two scale-outs
    wake_tasks                  tasks to start when scaling from zero
    schedules                   scheduled changes of the limits, by name: schedule as cron(...), rate(...) or at(...), timezone,
                                min_capacity, max_capacity
  EOT
  type = object({
    min_capacity               = optional(number, 0)
    max_capacity               = optional(number, 4)
    target_backlog_seconds     = optional(number, 60)
    scale_in_cooldown_seconds  = optional(number, 300)
    scale_out_cooldown_seconds = optional(number, 60)
    wake_tasks                 = optional(number, 1)
    schedules = optional(map(object({
      schedule     = string
      timezone     = optional(string, "UTC")
      min_capacity = number
      max_capacity = number
    })), {})
  })
  default = {}

  validation {
    condition     = var.scaling.min_capacity >= 0 && var.scaling.max_capacity >= max(1, var.scaling.min_capacity)
    error_message = "scaling.min_capacity must be at least 0, and max_capacity at least 1 and not below min_capacity."
  }

  validation {
    condition     = var.cells == 1 || min(var.scaling.min_capacity, values(var.scaling.schedules)[*].min_capacity...) >= 1
    error_message = "With several cells, scaling.min_capacity must be at least 1, in schedules too: the alarm that wakes a fleet from zero watches the whole fleet, not a cell."
  }

  validation {
    condition     = var.scaling.wake_tasks >= 1 && var.scaling.wake_tasks <= var.scaling.max_capacity
    error_message = "scaling.wake_tasks must be at least 1 and at most max_capacity."
  }

  validation {
    condition     = var.scaling.target_backlog_seconds > 0
    error_message = "scaling.target_backlog_seconds must be above 0."
  }

  validation {
    condition     = min(var.scaling.scale_in_cooldown_seconds, var.scaling.scale_out_cooldown_seconds) >= 0
    error_message = "The cooldowns of scaling must be at least 0 seconds."
  }

  validation {
    condition = alltrue([
      for action in values(var.scaling.schedules) :
      can(regex("^(cron|rate|at)\\(.+\\)$", action.schedule))
      && action.min_capacity >= 0 && action.max_capacity >= max(1, action.min_capacity)
    ])
    error_message = "Each of scaling.schedules needs a schedule such as cron(0 8 ? * MON-FRI *), a min_capacity of at least 0, and a max_capacity of at least 1 and not below it."
  }
}

################################################################################
# Gateway
################################################################################

variable "gateway" {
  description = <<-EOT
    The HTTP gateway: a load balancer with Fargate tasks behind it.

    enabled                 whether to create it
    image                   null for image_tag in the repository created here
    image_tag               tag in that repository, where tags cannot be overwritten
    user                    user or uid of the container; null for the image's own
    cpu                     of a task, in CPU units; 1024 is one vCPU
    memory_mib              of a task
    architecture            X86_64 or ARM64, the same as the image
    min_tasks               the fewest tasks …
    max_tasks               … and the most
    cpu_percent             CPU utilization that autoscaling aims at
    requests_per_minute     requests per task that it also aims at; null for none
    internal                false for an internet-facing load balancer
    subnet_ids              of the load balancer, in at least two zones; null for those of the tasks; public ones unless it is internal
    allowed_cidr_blocks     addresses of callers
    certificate_arn         ACM certificate for HTTPS
    plain_http              HTTP instead of HTTPS; only for an internal load balancer
    body_max_mib            largest request body; JSON of tiny elements takes up to about fifty bytes of memory per byte, so at most 1/64 of memory_mib
    timeout_seconds         how long a caller may wait for a result, and how long a task that is being replaced waits for its
                            callers; the load balancer keeps the connection open for 20 seconds longer
    shutdown_delay_seconds  how long callers may keep waiting after the gateway receives SIGTERM
    slow_seconds            p99 of the response time above which an alarm is raised
    access_logs_bucket      bucket for the load balancer's access logs; null for none
    web_acl                 AWS WAF web ACL that requests pass through: arn; null for none
    environment             additional environment variables, no secrets
  EOT
  type = object({
    enabled                = optional(bool, false)
    image                  = optional(string)
    image_tag              = optional(string, "1")
    user                   = optional(string, "10001")
    cpu                    = optional(number, 512)
    memory_mib             = optional(number, 1024)
    architecture           = optional(string, "X86_64")
    min_tasks              = optional(number, 2)
    max_tasks              = optional(number, 10)
    cpu_percent            = optional(number, 60)
    requests_per_minute    = optional(number)
    internal               = optional(bool, true)
    subnet_ids             = optional(list(string))
    allowed_cidr_blocks    = optional(set(string), [])
    certificate_arn        = optional(string)
    plain_http             = optional(bool, false)
    body_max_mib           = optional(number, 8)
    timeout_seconds        = optional(number, 300)
    shutdown_delay_seconds = optional(number, 45)
    slow_seconds           = optional(number, 60)
    access_logs_bucket     = optional(string)
    web_acl                = optional(object({ arn = string }))
    environment            = optional(map(string), {})
  })
  default = {}

  validation {
    condition     = !var.gateway.enabled || var.gateway.plain_http || var.gateway.certificate_arn != null
    error_message = "gateway.certificate_arn must name an ACM certificate, or plain_http must be true: callers send their keys with each request."
  }

  validation {
    condition     = !var.gateway.plain_http || var.gateway.internal
    error_message = "gateway.plain_http is for internal load balancers only: callers' keys would cross the internet in plain text."
  }

  validation {
    condition     = var.gateway.internal || var.gateway.subnet_ids != null
    error_message = "gateway.subnet_ids must be public subnets if the load balancer is not internal; tasks stay in the private ones."
  }

  validation {
    condition = !var.gateway.enabled || (
      # Only IPv4 has a netmask.
      length(var.gateway.allowed_cidr_blocks) > 0 && alltrue([for block in var.gateway.allowed_cidr_blocks : can(cidrnetmask(block))])
    )
    error_message = "gateway.allowed_cidr_blocks must be IPv4 CIDR blocks, at least one, for example the VPC's."
  }

  validation {
    condition = contains(lookup({
      256  = [512, 1024, 2048]
      512  = range(1024, 4097, 1024)
      1024 = range(2048, 8193, 1024)
      2048 = range(4096, 16385, 1024)
      4096 = range(8192, 30721, 1024)
    }, tostring(var.gateway.cpu), []), var.gateway.memory_mib)
    error_message = "Fargate has no task of that size. Valid combinations of gateway.cpu and gateway.memory_mib: 256 with 512, 1024 or 2048, 512 with 1024 to 4096, 1024 with 2048 to 8192, 2048 with 4096 to 16384, 4096 with 8192 to 30720 (steps of 1024)."
  }

  validation {
    condition     = var.gateway.body_max_mib >= 1 && var.gateway.body_max_mib <= var.gateway.memory_mib / 64
    error_message = "gateway.body_max_mib must be at least 1 and at most 1/64 of gateway.memory_mib: JSON of tiny elements takes up to about fifty bytes of memory per byte, and other requests arrive meanwhile."
  }

  validation {
    condition     = contains(["X86_64", "ARM64"], var.gateway.architecture)
    error_message = "gateway.architecture must be X86_64 or ARM64."
  }

  validation {
    condition     = var.gateway.min_tasks >= 1 && var.gateway.max_tasks >= var.gateway.min_tasks
    error_message = "gateway.min_tasks must be at least 1, and max_tasks not below it."
  }

  validation {
    condition     = var.gateway.cpu_percent > 0 && var.gateway.cpu_percent <= 100
    error_message = "gateway.cpu_percent must be above 0 and at most 100."
  }

  validation {
    condition     = var.gateway.requests_per_minute == null ? true : var.gateway.requests_per_minute > 0
    error_message = "gateway.requests_per_minute must be above 0, or null."
  }

  validation {
    # inference_engine/gateway/server.py, KEEP_ALIVE_SECONDS: 400. The load balancer must be the one that closes connections.
    condition     = var.gateway.timeout_seconds >= 1 && var.gateway.timeout_seconds <= 360
    error_message = "gateway.timeout_seconds must be 1 to 360: the gateway keeps connections for 400 seconds. Submit longer jobs, and poll for them or use a callback."
  }

  validation {
    condition     = var.gateway.shutdown_delay_seconds >= 1 && var.gateway.shutdown_delay_seconds <= 105
    error_message = "gateway.shutdown_delay_seconds must be 1 to 105: ECS kills the container 15 seconds later, and its limit is 120."
  }

  validation {
    condition     = var.gateway.slow_seconds > 0
    error_message = "gateway.slow_seconds must be above 0."
  }

  validation {
    condition     = alltrue([for name in keys(var.gateway.environment) : can(regex("^[A-Za-z_][A-Za-z0-9_]*$", name))])
    error_message = "gateway.environment must have names of letters, digits and '_'."
  }
}

################################################################################
# Webhooks
################################################################################

variable "webhooks" {
  description = <<-EOT
    Requests to callback URLs when jobs end.

    enabled          whether to create the function that makes them
    allow_private    whether callback URLs may have private addresses, or no TLS
    timeout_seconds  how long a receiver may take to answer
    max_concurrency  concurrent runs of the function that deliver
    network          where in a VPC the function runs: subnet_ids and security_group_ids; null to run outside any VPC, with access to the internet
  EOT
  type = object({
    enabled         = optional(bool, false)
    allow_private   = optional(bool, false)
    timeout_seconds = optional(number, 10)
    max_concurrency = optional(number, 10)
    network         = optional(object({ subnet_ids = list(string), security_group_ids = list(string) }))
  })
  default = {}

  validation {
    condition     = var.webhooks.timeout_seconds >= 1 && var.webhooks.timeout_seconds <= 30
    error_message = "webhooks.timeout_seconds must be 1 to 30: a run of the function is stopped after 120 seconds."
  }

  validation {
    condition     = var.webhooks.max_concurrency >= 2 && var.webhooks.max_concurrency <= 1000
    error_message = "webhooks.max_concurrency must be 2 to 1000."
  }
}

################################################################################
# Lambdas
################################################################################

variable "lambda_zips_dir" {
  description = "Folder of backlog_metrics.zip, dead_letters.zip and webhooks.zip; null for lambdas/dist of this repository, where `make lambdas` writes them."
  type        = string
  default     = null
}

variable "lambda_runtime" {
  description = "Lambda runtime; the same Python version that the zips were built for."
  type        = string
  default     = "python3.13"

  validation {
    condition     = can(regex("^python3\\.[0-9]+$", var.lambda_runtime))
    error_message = "lambda_runtime must be a Lambda Python runtime, for example python3.13."
  }
}

variable "lambda_architecture" {
  description = "Processor architecture of the Lambdas; the same one that the zips were built for."
  type        = string
  default     = "arm64"

  validation {
    condition     = contains(["arm64", "x86_64"], var.lambda_architecture)
    error_message = "lambda_architecture must be arm64 or x86_64."
  }
}

variable "backlog_metrics_reserved_concurrency" {
  description = "Reserved concurrency of backlog_metrics; null for no limit, in accounts whose concurrency quota is not well above 100: Lambda keeps 100 unreserved, and rejects a reservation that would cut into them."
  type        = number
  default     = 1

  validation {
    condition     = var.backlog_metrics_reserved_concurrency == null ? true : var.backlog_metrics_reserved_concurrency >= 1
    error_message = "backlog_metrics_reserved_concurrency must be at least 1, or null."
  }
}

################################################################################
# Monitoring
################################################################################

variable "alarm_topic_arns" {
  description = "SNS topics that are notified of alarms and of their end."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for arn in var.alarm_topic_arns : can(regex("^arn:[^:]+:sns:[^:]+:[0-9]{12}:.+$", arn))])
    error_message = "alarm_topic_arns must be ARNs of SNS topics (arn:aws:sns:REGION:ACCOUNT:NAME)."
  }
}

variable "oldest_job_age_seconds" {
  description = "Age of the oldest waiting job above which an alarm is raised, in seconds."
  type        = number
  default     = 900

  validation {
    condition     = var.oldest_job_age_seconds > 0
    error_message = "oldest_job_age_seconds must be above 0."
  }
}

variable "runbook_url" {
  description = "Address of the runbook; each alarm names its section there."
  type        = string
  default     = "docs/howto/runbook.md"
}

variable "log_retention_days" {
  description = "Days that logs are kept; one of the periods that CloudWatch Logs supports."
  type        = number
  default     = 30

  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653], var.log_retention_days)
    error_message = "log_retention_days must be one of 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, or a longer period that CloudWatch Logs supports."
  }
}

################################################################################
# Encryption and deletion
################################################################################

variable "kms_key_arn" {
  description = "KMS key for tables, payloads, images and logs; null for AWS's own keys. Its key policy must allow CloudWatch Logs to use it. Models are always encrypted with S3's own key."
  type        = string
  default     = null

  validation {
    condition     = var.kms_key_arn == null || can(regex("^arn:[^:]+:kms:[^:]+:[0-9]{12}:key/.+$", var.kms_key_arn))
    error_message = "kms_key_arn must be the ARN of a KMS key (arn:aws:kms:REGION:ACCOUNT:key/ID), not an alias or an id."
  }
}

variable "deletion_protection" {
  description = "Whether the tables and the gateway's load balancer are protected from deletion; set false before a destroy, and before setting gateway.enabled to false."
  type        = bool
  default     = true
}

variable "force_destroy" {
  description = "Whether buckets and repositories may be destroyed together with their contents."
  type        = bool
  default     = false
}
