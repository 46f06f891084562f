data "aws_caller_identity" "current" {}

data "aws_partition" "current" {}

data "aws_region" "current" {}

locals {
  prefix         = coalesce(var.prefix, "inference-engine-${var.environment}")
  parameter_path = "/inference-engine/${var.environment}"
  # CloudWatch namespace of the metrics that the Lambdas publish, with the dimension Deployment = prefix.
  metric_namespace = "InferenceEngine"

  account_id = data.aws_caller_identity.current.account_id
  partition  = data.aws_partition.current.partition
  # `id` is the Region's name in versions 5 and 6 of the provider.
  region = data.aws_region.current.id

  # Names of buckets and repositories may have no capitals and no '_', those of repositories no two '-' in a row.
  plain_prefix = trim(lower(replace(local.prefix, "/[_-]+/", "-")), "-")

  # A consumer belongs to one cell, so each cell has a service.
  services = (
    var.cells == 1
    ? { "0" = "${local.prefix}-consumer" }
    : { for cell in range(var.cells) : tostring(cell) => "${local.prefix}-consumer-${cell}" }
  )
  max_tasks = var.scaling.max_capacity * var.cells

  images = concat(["consumer", "triton"], var.gateway.enabled ? ["gateway"] : [])

  # Of the tasks of consumers and gateway.
  network = {
    vpc_id                      = var.vpc_id
    subnet_ids                  = var.subnet_ids
    endpoint_security_group_ids = var.endpoint_security_group_ids
    prefix_list_ids             = var.prefix_list_ids
    egress_cidr_blocks          = var.egress_cidr_blocks
  }

  tags = merge({ Application = "inference-engine", Environment = var.environment }, var.tags)

  # What clients and consumers must agree on: fields of inference_engine/settings.py.
  settings = {
    prefix                     = local.prefix
    jobs_table                 = module.tables.jobs.name
    registry_table             = module.tables.registry.name
    bucket                     = module.payloads.name
    cells                      = tostring(var.cells)
    auto_create_queues         = tostring(var.auto_create_queues)
    visibility_timeout_seconds = tostring(var.visibility_timeout_seconds)
    wait_time_seconds          = tostring(var.wait_time_seconds)
    max_receive_count          = tostring(var.max_receive_count)
    # JSON may double a body inside its message, and the rest of the message needs room as well.
    body_inline_max_bytes = tostring(min(262144, floor((var.message_max_bytes - 65536) / 2)))
  }
}

################################################################################
# Where jobs travel and are stored
################################################################################

module "queues" {
  source = "../modules/queues"

  prefix                     = local.prefix
  cells                      = var.cells
  labels                     = var.labels
  message_max_bytes          = var.message_max_bytes
  visibility_timeout_seconds = var.visibility_timeout_seconds
  wait_time_seconds          = var.wait_time_seconds
  max_receive_count          = var.max_receive_count
  tags                       = local.tags
}

module "tables" {
  source = "../modules/tables"

  prefix              = local.prefix
  deletion_protection = var.deletion_protection
  kms_key_arn         = var.kms_key_arn
  tags                = local.tags
}

module "payloads" {
  source = "../modules/bucket"

  name              = "${local.plain_prefix}-payloads-${local.account_id}"
  expire_after_days = var.payload_retention_days
  kms_key_arn       = var.kms_key_arn
  force_destroy     = var.force_destroy
  tags              = local.tags
}

module "models" {
  source = "../modules/bucket"

  name      = "${local.plain_prefix}-models-${local.account_id}"
  versioned = true
  # With S3's own key an object's ETag is its MD5, with which consumers verify their downloads.
  kms_key_arn   = null
  force_destroy = var.force_destroy
  tags          = local.tags
}

module "repositories" {
  source = "../modules/repositories"

  names        = { for image in local.images : image => "${local.plain_prefix}-${image}" }
  kms_key_arn  = var.kms_key_arn
  force_delete = var.force_destroy
  tags         = local.tags
}

################################################################################
# Who may do what
################################################################################

module "policies" {
  source = "../modules/policies"

  prefix                = local.prefix
  partition             = local.partition
  region                = local.region
  account_id            = local.account_id
  parameter_path        = local.parameter_path
  jobs_table_arn        = module.tables.jobs.arn
  registry_table_arn    = module.tables.registry.arn
  payloads_bucket_arn   = module.payloads.arn
  models_bucket_arn     = module.models.arn
  placement_queue_arns  = values(module.queues.placement)[*].arn
  dead_letter_queue_arn = module.queues.dead_letters.arn
  cluster_name          = local.prefix
  service_names         = values(local.services)
  metric_namespace      = local.metric_namespace
  auto_create_queues    = var.auto_create_queues
  webhooks              = var.webhooks.enabled
  kms_key_arn           = var.kms_key_arn
  tags                  = local.tags
}

################################################################################
# Lambdas
################################################################################

locals {
  zips_dir = coalesce(var.lambda_zips_dir, "${path.module}/../../lambdas/dist")

  lambda_environment = {
    for name in [
      "prefix", "jobs_table", "registry_table", "bucket", "cells", "visibility_timeout_seconds", "max_receive_count",
    ] : "INFERENCE_ENGINE_${upper(name)}" => local.settings[name]
  }
}

module "backlog_metrics" {
  source = "../modules/lambda_function"

  name         = "${local.prefix}-backlog-metrics"
  description  = "Measures the backlog each minute and publishes the metrics for autoscaling and alarms"
  zip_path     = "${local.zips_dir}/backlog_metrics.zip"
  runtime      = var.lambda_runtime
  architecture = var.lambda_architecture
  memory_mb    = 512
  # Less than a minute, so that two runs do not overlap.
  timeout_seconds      = 55
  reserved_concurrency = var.backlog_metrics_reserved_concurrency
  schedule             = "rate(1 minute)"

  environment = merge(local.lambda_environment, {
    INFERENCE_ENGINE_BACKLOG_NAMESPACE      = local.metric_namespace
    INFERENCE_ENGINE_BACKLOG_TARGET_SECONDS = tostring(var.scaling.target_backlog_seconds)
    INFERENCE_ENGINE_BACKLOG_SWEEP_QUEUES   = "100"
    INFERENCE_ENGINE_BACKLOG_ECS_CLUSTER    = local.prefix
    INFERENCE_ENGINE_BACKLOG_ECS_SERVICE    = join(",", values(local.services))
  })

  policy_arn         = module.policies.arns["backlog-metrics"]
  log_retention_days = var.log_retention_days
  kms_key_arn        = var.kms_key_arn
  tags               = local.tags
}

module "dead_letters" {
  source = "../modules/lambda_function"

  name            = "${local.prefix}-dead-letters"
  description     = "Turns each dead letter into an error as its job's result"
  zip_path        = "${local.zips_dir}/dead_letters.zip"
  runtime         = var.lambda_runtime
  architecture    = var.lambda_architecture
  memory_mb       = 256
  timeout_seconds = 30
  queue           = { arn = module.queues.dead_letters.arn }

  environment = local.lambda_environment

  policy_arn         = module.policies.arns["dead-letters"]
  log_retention_days = var.log_retention_days
  kms_key_arn        = var.kms_key_arn
  tags               = local.tags
}

module "webhooks" {
  source = "../modules/webhooks"
  count  = var.webhooks.enabled ? 1 : 0

  prefix          = local.prefix
  parameter_path  = local.parameter_path
  jobs_stream_arn = module.tables.jobs.stream_arn

  zip_path     = "${local.zips_dir}/webhooks.zip"
  runtime      = var.lambda_runtime
  architecture = var.lambda_architecture
  environment = merge(local.lambda_environment, {
    INFERENCE_ENGINE_BACKLOG_NAMESPACE = local.metric_namespace
  })
  network = var.webhooks.network

  message_max_bytes       = var.message_max_bytes
  allow_private           = var.webhooks.allow_private
  request_timeout_seconds = var.webhooks.timeout_seconds
  max_concurrency         = var.webhooks.max_concurrency

  policy_arn         = module.policies.arns["webhooks"]
  log_retention_days = var.log_retention_days
  kms_key_arn        = var.kms_key_arn
  tags               = local.tags
}

################################################################################
# Consumers
################################################################################

locals {
  on_gpu = var.compute.gpu_capacity_provider != null

  capacity_providers = local.on_gpu ? [
    { name = var.compute.gpu_capacity_provider, base = 0, weight = 1 },
    ] : [
    { name = "FARGATE", base = var.compute.fargate_base, weight = var.compute.fargate_weight },
    { name = "FARGATE_SPOT", base = 0, weight = var.compute.fargate_spot_weight },
  ]

  room = var.consumer.memory_budget != null ? ["--memory-budget", var.consumer.memory_budget] : [
    "--max-labels", tostring(var.consumer.max_labels),
  ]
  triton_command = concat(
    ["--triton", "127.0.0.1:8001"],
    ["--model-store", trimsuffix("s3://${module.models.name}/${trim(var.consumer.models_prefix, "/")}", "/")],
    ["--model-repository", "/models"],
    var.consumer.model_disk == null ? [] : ["--model-disk", var.consumer.model_disk],
    local.room,
  )
}

module "cluster" {
  source = "../modules/cluster"

  name                  = local.prefix
  gpu_capacity_provider = var.compute.gpu_capacity_provider
  tags                  = local.tags
}

module "consumer" {
  source   = "../modules/consumer"
  for_each = local.services

  name       = each.value
  partition  = local.partition
  region     = local.region
  account_id = local.account_id

  compute = {
    cpu                   = var.compute.cpu
    memory_mib            = var.compute.memory_mib
    architecture          = var.compute.architecture
    ephemeral_storage_gib = var.compute.ephemeral_storage_gib
    gpus                  = local.on_gpu ? var.compute.gpus : 0
  }
  consumer = {
    image   = coalesce(var.consumer.image, "${module.repositories.urls["consumer"]}:${var.consumer.image_tag}")
    command = coalesce(var.consumer.command, local.triton_command)
    user    = var.consumer.user
  }
  triton = {
    enabled              = var.triton.enabled
    image                = coalesce(var.triton.image, "${module.repositories.urls["triton"]}:${var.triton.image_tag}")
    user                 = var.triton.user
    exit_timeout_seconds = var.triton.exit_timeout_seconds
    arguments            = var.triton.arguments
    shared_memory_mib    = var.triton.shared_memory_mib
  }
  environment = merge(
    { for name, value in local.settings : "INFERENCE_ENGINE_${upper(name)}" => value },
    {
      AWS_REGION                     = local.region
      INFERENCE_ENGINE_CELL          = each.key
      INFERENCE_ENGINE_DRAIN_SECONDS = tostring(var.consumer.drain_seconds)
    },
    var.consumer.environment,
  )

  # Rollback needs earlier revisions; an environment that is destroyed with all its contents leaves none behind.
  keep_revisions = !var.force_destroy

  cluster_arn        = module.cluster.arn
  initial_count      = var.scaling.min_capacity
  capacity_providers = local.capacity_providers
  network            = local.network
  deployment = {
    minimum_healthy_percent = var.compute.minimum_healthy_percent
    maximum_percent         = var.compute.maximum_percent
  }

  task_policy_arns   = merge({ consumer = module.policies.arns["consumer"] }, var.consumer.policy_arns)
  repository_arns    = concat(values(module.repositories.arns), var.other_repository_arns)
  log_retention_days = var.log_retention_days
  kms_key_arn        = var.kms_key_arn
  tags               = local.tags
}

module "autoscaling" {
  source   = "../modules/autoscaling"
  for_each = local.services

  cluster_name     = module.cluster.name
  service_name     = module.consumer[each.key].service_name
  metric_namespace = local.metric_namespace
  deployment       = local.prefix
  scaling          = var.scaling
  tags             = local.tags
}

################################################################################
# Gateway
################################################################################

locals {
  gateway_name = "${local.prefix}-gateway"
  gateway_port = 8000
}

module "gateway_balancer" {
  source = "../modules/gateway_balancer"
  count  = var.gateway.enabled ? 1 : 0

  name                   = local.gateway_name
  vpc_id                 = var.vpc_id
  subnet_ids             = coalesce(var.gateway.subnet_ids, var.subnet_ids)
  internal               = var.gateway.internal
  allowed_cidr_blocks    = var.gateway.allowed_cidr_blocks
  task_security_group_id = module.gateway[0].security_group_id
  task_port              = local.gateway_port

  certificate_arn = var.gateway.certificate_arn
  plain_http      = var.gateway.plain_http
  # Longer, so that the gateway answers first even if it notices the timeout late.
  idle_timeout_seconds = var.gateway.timeout_seconds + 20
  # Callers that wait on a task being replaced also get the full time.
  deregistration_delay_seconds = var.gateway.timeout_seconds
  access_logs = var.gateway.access_logs_bucket == null ? null : {
    bucket = var.gateway.access_logs_bucket
    prefix = local.gateway_name
  }
  web_acl             = var.gateway.web_acl
  deletion_protection = var.deletion_protection
  tags                = local.tags
}

module "gateway" {
  source = "../modules/gateway"
  count  = var.gateway.enabled ? 1 : 0

  name       = local.gateway_name
  partition  = local.partition
  region     = local.region
  account_id = local.account_id

  compute = {
    cpu          = var.gateway.cpu
    memory_mib   = var.gateway.memory_mib
    architecture = var.gateway.architecture
  }
  container = {
    image = coalesce(var.gateway.image, "${module.repositories.urls["gateway"]}:${var.gateway.image_tag}")
    user  = var.gateway.user
  }
  port                   = local.gateway_port
  body_max_mib           = var.gateway.body_max_mib
  timeout_seconds        = var.gateway.timeout_seconds
  shutdown_delay_seconds = var.gateway.shutdown_delay_seconds
  environment = merge(
    { for name, value in local.settings : "INFERENCE_ENGINE_${upper(name)}" => value },
    {
      AWS_REGION                              = local.region
      INFERENCE_ENGINE_WEBHOOKS_ALLOW_PRIVATE = tostring(var.webhooks.allow_private)
    },
    var.gateway.environment,
  )
  keep_revisions = !var.force_destroy

  cluster_arn       = module.cluster.arn
  cluster_name      = module.cluster.name
  network           = local.network
  target_group_arn  = module.gateway_balancer[0].target_group_arn
  metric_dimensions = module.gateway_balancer[0].metric_dimensions
  scaling = {
    min_tasks           = var.gateway.min_tasks
    max_tasks           = var.gateway.max_tasks
    cpu_percent         = var.gateway.cpu_percent
    requests_per_minute = var.gateway.requests_per_minute
  }

  policy_arn         = module.policies.arns["gateway"]
  repository_arns    = concat(values(module.repositories.arns), var.other_repository_arns)
  log_retention_days = var.log_retention_days
  kms_key_arn        = var.kms_key_arn
  tags               = local.tags
}

################################################################################
# Alarms and dashboard
################################################################################

locals {
  # Written out, not taken from the modules' outputs: they are for_each keys, which must be known before anything is created.
  function_names = concat(
    ["${local.prefix}-backlog-metrics", "${local.prefix}-dead-letters"],
    var.webhooks.enabled ? ["${local.prefix}-webhooks"] : [],
  )
  webhook_queue_names = var.webhooks.enabled ? ["${local.prefix}-webhooks", "${local.prefix}-webhooks-dead"] : []
  watched_webhooks = var.webhooks.enabled ? {
    queue_name      = local.webhook_queue_names[0]
    dead_queue_name = local.webhook_queue_names[1]
    function_name   = "${local.prefix}-webhooks"
  } : null
  watched_gateway = var.gateway.enabled ? {
    load_balancer = module.gateway_balancer[0].metric_dimensions.load_balancer
    target_group  = module.gateway_balancer[0].metric_dimensions.target_group
    slow_seconds  = var.gateway.slow_seconds
  } : null
  table_names = ["${local.prefix}-jobs", "${local.prefix}-registry"]
}

module "alarms" {
  source = "../modules/alarms"

  prefix                 = local.prefix
  metric_namespace       = local.metric_namespace
  dead_letter_queue_name = module.queues.dead_letters.name
  table_names            = local.table_names
  function_names         = local.function_names
  gateway                = local.watched_gateway
  webhooks               = local.watched_webhooks
  oldest_job_age_seconds = var.oldest_job_age_seconds
  max_tasks              = local.max_tasks
  target_backlog_seconds = var.scaling.target_backlog_seconds
  topic_arns             = var.alarm_topic_arns
  runbook_url            = var.runbook_url
  tags                   = local.tags
}

module "dashboard" {
  source = "../modules/dashboard"

  prefix                 = local.prefix
  region                 = local.region
  metric_namespace       = local.metric_namespace
  dead_letter_queue_name = module.queues.dead_letters.name
  placement_queue_names  = values(module.queues.placement)[*].name
  table_names            = local.table_names
  function_names         = local.function_names
  cluster_name           = local.prefix
  service_names          = concat(values(local.services), var.gateway.enabled ? [local.gateway_name] : [])
  gateway                = local.watched_gateway
  webhook_queue_names    = local.webhook_queue_names
  target_backlog_seconds = var.scaling.target_backlog_seconds
  max_tasks              = local.max_tasks
  oldest_job_age_seconds = var.oldest_job_age_seconds
}

################################################################################
# What clients need to know
################################################################################

module "parameters" {
  source = "../modules/parameters"

  path = local.parameter_path
  values = merge(
    { for name, value in local.settings : "settings/${name}" => value },
    {
      region                   = local.region
      models_bucket            = module.models.name
      ecs_cluster              = module.cluster.name
      ecs_service              = join(",", values(module.consumer)[*].service_name)
      consumer_repository_url  = module.repositories.urls["consumer"]
      backlog_metrics_function = module.backlog_metrics.name
      dead_letters_function    = module.dead_letters.name
    },
    var.gateway.enabled ? {
      gateway_repository_url = module.repositories.urls["gateway"]
      gateway_service        = module.gateway[0].service_name
    } : {},
    var.webhooks.enabled ? { webhooks_function = module.webhooks[0].function_name } : {},
  )
  tags = local.tags
}
