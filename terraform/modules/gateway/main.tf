locals {
  # ECS deregisters the task from the target group, waits for that to finish, at most for the target group's delay, and only then
  # sends SIGTERM. Callers still waiting then, for example when a task is stopped by hand, have shutdown_delay_seconds.
  stop_seconds = var.shutdown_delay_seconds + 15

  environment = merge(var.environment, {
    INFERENCE_ENGINE_GATEWAY_BODY_MAX_BYTES = tostring(floor(var.body_max_mib * 1048576))
    # For all unanswered requests together: JSON takes up to about fifty times its size in memory, but seldom more than fifteen.
    INFERENCE_ENGINE_GATEWAY_BODIES_MAX_BYTES = tostring(local.bodies_max_bytes)
    INFERENCE_ENGINE_GATEWAY_MAX_QUEUE_BYTES  = tostring(local.bodies_max_bytes)
    INFERENCE_ENGINE_GATEWAY_HOST             = "0.0.0.0"
    INFERENCE_ENGINE_GATEWAY_PORT             = tostring(var.port)
    INFERENCE_ENGINE_GATEWAY_REQUIRE_KEYS     = "true"
    INFERENCE_ENGINE_GATEWAY_SHUTDOWN_DELAY   = tostring(var.shutdown_delay_seconds)
    # A caller that waits longer than the load balancer would lose the connection instead of getting a response.
    INFERENCE_ENGINE_GATEWAY_TIMEOUT_SECONDS     = tostring(var.timeout_seconds)
    INFERENCE_ENGINE_GATEWAY_TIMEOUT_MAX_SECONDS = tostring(var.timeout_seconds)
    # The tasks' security group admits only the load balancer.
    INFERENCE_ENGINE_GATEWAY_TRUST_PROXY = "true"
  })

  bodies_max_bytes = floor(max(var.body_max_mib, var.compute.memory_mib / 40) * 1048576)

  container = merge(
    {
      name                   = "gateway"
      image                  = var.container.image
      essential              = true
      readonlyRootFilesystem = true
      stopTimeout            = local.stop_seconds
      environment            = [for name in sort(keys(local.environment)) : { name = name, value = local.environment[name] }]
      portMappings           = [{ containerPort = var.port, hostPort = var.port, protocol = "tcp" }]
      linuxParameters        = { capabilities = { drop = ["ALL"] }, initProcessEnabled = true }
      # No healthCheck: the target group checks already, and an interpreter every few seconds would compete with the gateway.
    },
    var.container.user == null ? {} : { user = var.container.user },
  )
}

################################################################################
# Service
################################################################################

module "service" {
  source = "../ecs_service"

  name       = var.name
  partition  = var.partition
  region     = var.region
  account_id = var.account_id

  compute        = var.compute
  containers     = [local.container]
  keep_revisions = var.keep_revisions

  cluster_arn     = var.cluster_arn
  initial_count   = var.scaling.min_tasks
  deployment      = { minimum_healthy_percent = 100, maximum_percent = 200 }
  network         = var.network
  rebalance_zones = true
  load_balancer = {
    target_group_arn = var.target_group_arn
    container_name   = local.container.name
    container_port   = var.port
  }

  task_policy_arns   = { gateway = var.policy_arn }
  repository_arns    = var.repository_arns
  log_groups         = { gateway = "gateway" }
  log_retention_days = var.log_retention_days
  kms_key_arn        = var.kms_key_arn
  tags               = var.tags
}

################################################################################
# How many tasks: by CPU utilization, and by requests if configured
################################################################################

resource "aws_appautoscaling_target" "this" {
  service_namespace  = "ecs"
  scalable_dimension = "ecs:service:DesiredCount"
  resource_id        = "service/${var.cluster_name}/${module.service.name}"
  min_capacity       = var.scaling.min_tasks
  max_capacity       = var.scaling.max_tasks

  tags = var.tags
}

locals {
  tracked = merge(
    { cpu = { metric = "ECSServiceAverageCPUUtilization", target = var.scaling.cpu_percent, label = null } },
    var.scaling.requests_per_minute == null ? {} : {
      requests = {
        metric = "ALBRequestCountPerTarget"
        target = var.scaling.requests_per_minute
        label  = "${var.metric_dimensions.load_balancer}/${var.metric_dimensions.target_group}"
      }
    },
  )
}

resource "aws_appautoscaling_policy" "this" {
  for_each = local.tracked

  name               = "${var.name}-${each.key}"
  policy_type        = "TargetTrackingScaling"
  service_namespace  = aws_appautoscaling_target.this.service_namespace
  scalable_dimension = aws_appautoscaling_target.this.scalable_dimension
  resource_id        = aws_appautoscaling_target.this.resource_id

  target_tracking_scaling_policy_configuration {
    target_value       = each.value.target
    scale_in_cooldown  = 300
    scale_out_cooldown = 60

    predefined_metric_specification {
      predefined_metric_type = each.value.metric
      resource_label         = each.value.label
    }
  }
}
