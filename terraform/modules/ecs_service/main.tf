locals {
  log_group_names = { for name in toset(values(var.log_groups)) : name => "/inference-engine/${var.name}/${name}" }
  log_group_arn   = "arn:${var.partition}:logs:${var.region}:${var.account_id}:log-group"

  containers = [
    for container in var.containers : merge(container, {
      logConfiguration = {
        logDriver = "awslogs"
        options = {
          "awslogs-group"         = local.log_group_names[var.log_groups[container.name]]
          "awslogs-region"        = var.region
          "awslogs-stream-prefix" = "ecs"
          # A slow log service must not block the container.
          "mode"            = "non-blocking"
          "max-buffer-size" = "4m"
        }
      }
    })
  ]

  # AWS changes no description of a policy or security group: with another text here, the resource would be replaced.
  descriptions = {
    execution_policy = (
      length(local.containers) == 1
      ? "Pulls the image and opens the log of ${var.name}"
      : "Pulls the images and opens the logs of ${var.name}"
    )
    security_group = (
      var.load_balancer == null
      ? "Tasks of ${var.name}: no way in, HTTPS out to AWS"
      : "Tasks of ${var.name}: requests from the load balancer, HTTPS out to AWS"
    )
  }
}

################################################################################
# Task definition
################################################################################

resource "aws_ecs_task_definition" "this" {
  family                   = var.name
  requires_compatibilities = [var.fargate ? "FARGATE" : "EC2"]
  network_mode             = "awsvpc"
  cpu                      = tostring(var.compute.cpu)
  memory                   = tostring(var.compute.memory_mib)
  execution_role_arn       = aws_iam_role.execution.arn
  task_role_arn            = aws_iam_role.task.arn
  container_definitions    = jsonencode(local.containers)
  # The deployment circuit breaker, and operators, roll back to an earlier revision, which must not be deregistered.
  skip_destroy = var.keep_revisions

  runtime_platform {
    operating_system_family = "LINUX"
    cpu_architecture        = var.compute.architecture
  }

  # On instances, the volumes use the instance's own disk.
  dynamic "ephemeral_storage" {
    for_each = var.fargate && var.compute.ephemeral_storage_gib != null ? [var.compute.ephemeral_storage_gib] : []
    content {
      size_in_gib = ephemeral_storage.value
    }
  }

  dynamic "volume" {
    for_each = var.volumes
    content {
      name = volume.value
    }
  }

  tags = var.tags

  # Tasks must find their log groups.
  depends_on = [aws_cloudwatch_log_group.this]
}

################################################################################
# Logs
################################################################################

resource "aws_cloudwatch_log_group" "this" {
  #checkov:skip=CKV_AWS_338:log_retention_days sets how long logs are kept
  for_each = local.log_group_names

  name              = each.value
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
  for_each = var.task_policy_arns

  role       = aws_iam_role.task.name
  policy_arn = each.value
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
    resources = [for name in values(local.log_group_names) : "${local.log_group_arn}:${name}:*"]
  }
}

resource "aws_iam_policy" "execution" {
  name        = "${var.name}-execution"
  description = local.descriptions.execution_policy
  policy      = data.aws_iam_policy_document.execution.json

  tags = var.tags
}

resource "aws_iam_role_policy_attachment" "execution" {
  role       = aws_iam_role.execution.name
  policy_arn = aws_iam_policy.execution.arn
}

################################################################################
# Network: outbound HTTPS to the endpoints; a load balancer brings its own rule that admits requests
################################################################################

resource "aws_security_group" "this" {
  name        = var.name
  description = local.descriptions.security_group
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
  desired_count   = var.initial_count
  launch_type     = length(var.capacity_providers) == 0 ? "FARGATE" : null

  platform_version        = var.fargate ? "LATEST" : null
  enable_ecs_managed_tags = true
  propagate_tags          = "SERVICE"

  deployment_minimum_healthy_percent = var.deployment.minimum_healthy_percent
  deployment_maximum_percent         = var.deployment.maximum_percent
  availability_zone_rebalancing      = var.rebalance_zones ? "ENABLED" : "DISABLED"

  # Without it, a change of the capacity providers would replace the service.
  force_new_deployment = length(var.capacity_providers) == 0 ? null : true

  dynamic "capacity_provider_strategy" {
    for_each = var.capacity_providers
    content {
      capacity_provider = capacity_provider_strategy.value.name
      base              = capacity_provider_strategy.value.base
      weight            = capacity_provider_strategy.value.weight
    }
  }

  # A task that is starting must not be stopped because the load balancer's first checks fail.
  health_check_grace_period_seconds = var.load_balancer == null ? null : 60

  dynamic "load_balancer" {
    for_each = var.load_balancer == null ? [] : [var.load_balancer]
    content {
      target_group_arn = load_balancer.value.target_group_arn
      container_name   = load_balancer.value.container_name
      container_port   = load_balancer.value.container_port
    }
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
