locals {
  log_group_name = "/inference-engine/${var.name}/gateway"

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
      logConfiguration = {
        logDriver = "awslogs"
        options = {
          "awslogs-group"         = local.log_group_name
          "awslogs-region"        = var.region
          "awslogs-stream-prefix" = "ecs"
          # A slow log service must not block the container.
          "mode"            = "non-blocking"
          "max-buffer-size" = "4m"
        }
      }
    },
    var.container.user == null ? {} : { user = var.container.user },
  )
}

################################################################################
# Task definition
################################################################################

resource "aws_ecs_task_definition" "this" {
  family                   = var.name
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = tostring(var.compute.cpu)
  memory                   = tostring(var.compute.memory_mib)
  execution_role_arn       = aws_iam_role.execution.arn
  task_role_arn            = aws_iam_role.task.arn
  container_definitions    = jsonencode([local.container])
  # The deployment circuit breaker, and operators, roll back to an earlier revision, which must not be deregistered.
  skip_destroy = var.keep_revisions

  runtime_platform {
    operating_system_family = "LINUX"
    cpu_architecture        = var.compute.architecture
  }

  tags = var.tags

  # Tasks must find their log group.
  depends_on = [aws_cloudwatch_log_group.this]
}

resource "aws_cloudwatch_log_group" "this" {
  #checkov:skip=CKV_AWS_338:log_retention_days sets how long logs are kept
  name              = local.log_group_name
  retention_in_days = var.log_retention_days
  kms_key_id        = var.kms_key_arn

  tags = var.tags
}

################################################################################
# Roles: the task's own, and the one that ECS starts it with
################################################################################

data "aws_iam_policy_document" "assume" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["ecs-tasks.amazonaws.com"]
    }

    # Tasks of this account only (ECS Developer Guide, "Amazon ECS task IAM role").
    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [var.account_id]
    }

    condition {
      test     = "ArnLike"
      variable = "aws:SourceArn"
      values   = ["arn:${var.partition}:ecs:${var.region}:${var.account_id}:*"]
    }
  }
}

resource "aws_iam_role" "task" {
  name               = "${var.name}-task"
  description        = "Permissions of the containers of ${var.name}"
  assume_role_policy = data.aws_iam_policy_document.assume.json

  tags = var.tags
}

resource "aws_iam_role_policy_attachment" "task" {
  role       = aws_iam_role.task.name
  policy_arn = var.policy_arn
}

resource "aws_iam_role" "execution" {
  name               = "${var.name}-execution"
  description        = "Permissions of ECS to start ${var.name}"
  assume_role_policy = data.aws_iam_policy_document.assume.json

  tags = var.tags
}

data "aws_iam_policy_document" "execution" {
  statement {
    sid       = "LogInToRegistry"
    actions   = ["ecr:GetAuthorizationToken"]
    resources = ["*"]
  }

  statement {
    sid       = "PullImages"
    actions   = ["ecr:BatchCheckLayerAvailability", "ecr:GetDownloadUrlForLayer", "ecr:BatchGetImage"]
    resources = var.repository_arns
  }

  statement {
    sid       = "Log"
    actions   = ["logs:CreateLogStream", "logs:PutLogEvents"]
    resources = ["arn:${var.partition}:logs:${var.region}:${var.account_id}:log-group:${local.log_group_name}:*"]
  }
}

resource "aws_iam_policy" "execution" {
  name        = "${var.name}-execution"
  description = "Pulls the image and opens the log of ${var.name}"
  policy      = data.aws_iam_policy_document.execution.json

  tags = var.tags
}

resource "aws_iam_role_policy_attachment" "execution" {
  role       = aws_iam_role.execution.name
  policy_arn = aws_iam_policy.execution.arn
}

################################################################################
# Network: outbound HTTPS to the endpoints; the load balancer's rule admits requests
################################################################################

resource "aws_security_group" "this" {
  name        = var.name
  description = "Tasks of ${var.name}: requests from the load balancer, HTTPS out to AWS"
  vpc_id      = var.network.vpc_id

  tags = merge(var.tags, { Name = var.name })
}

resource "aws_vpc_security_group_egress_rule" "endpoints" {
  count = length(var.network.endpoint_security_group_ids)

  security_group_id            = aws_security_group.this.id
  description                  = "HTTPS to the interface endpoints"
  ip_protocol                  = "tcp"
  from_port                    = 443
  to_port                      = 443
  referenced_security_group_id = var.network.endpoint_security_group_ids[count.index]

  tags = var.tags
}

resource "aws_vpc_security_group_egress_rule" "gateways" {
  for_each = var.network.prefix_list_ids

  security_group_id = aws_security_group.this.id
  description       = "HTTPS to the gateway endpoint of ${each.key}"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
  prefix_list_id    = each.value

  tags = var.tags
}

resource "aws_vpc_security_group_egress_rule" "other" {
  for_each = toset(var.network.egress_cidr_blocks)

  security_group_id = aws_security_group.this.id
  description       = "HTTPS to ${each.value}"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
  cidr_ipv4         = each.value

  tags = var.tags
}

################################################################################
# Service
################################################################################

resource "aws_ecs_service" "this" {
  name            = var.name
  cluster         = var.cluster_arn
  task_definition = aws_ecs_task_definition.this.arn
  desired_count   = var.scaling.min_tasks
  launch_type     = "FARGATE"

  platform_version        = "LATEST"
  enable_ecs_managed_tags = true
  propagate_tags          = "SERVICE"

  deployment_minimum_healthy_percent = 100
  deployment_maximum_percent         = 200
  availability_zone_rebalancing      = "ENABLED"
  # A task that is starting must not be stopped because the load balancer's first checks fail.
  health_check_grace_period_seconds = 60

  load_balancer {
    target_group_arn = var.target_group_arn
    container_name   = local.container.name
    container_port   = var.port
  }

  network_configuration {
    subnets          = var.network.subnet_ids
    security_groups  = [aws_security_group.this.id]
    assign_public_ip = false
  }

  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }

  tags = var.tags

  lifecycle {
    # Autoscaling owns it.
    ignore_changes = [desired_count]
  }

  # If a service starts before its roles have their policies, its first tasks fail.
  depends_on = [aws_iam_role_policy_attachment.task, aws_iam_role_policy_attachment.execution]
}

################################################################################
# How many tasks: by CPU utilization, and by requests if configured
################################################################################

resource "aws_appautoscaling_target" "this" {
  service_namespace  = "ecs"
  scalable_dimension = "ecs:service:DesiredCount"
  resource_id        = "service/${var.cluster_name}/${aws_ecs_service.this.name}"
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
