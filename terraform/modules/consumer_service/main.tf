################################################################################
# Network: no inbound traffic, and outbound HTTPS to the endpoints
################################################################################

resource "aws_security_group" "this" {
  name        = var.name
  description = "Tasks of ${var.name}: no way in, HTTPS out to AWS"
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
  task_definition = var.task_definition_arn
  desired_count   = var.initial_count

  platform_version        = var.fargate ? "LATEST" : null
  enable_ecs_managed_tags = true
  propagate_tags          = "SERVICE"

  deployment_minimum_healthy_percent = var.deployment.minimum_healthy_percent
  deployment_maximum_percent         = var.deployment.maximum_percent

  # To rebalance zones, ECS would stop tasks that are idle at that moment, and their loaded models would be lost.
  availability_zone_rebalancing = "DISABLED"

  # Without it, a change of the capacity providers would replace the service.
  force_new_deployment = true

  dynamic "capacity_provider_strategy" {
    for_each = var.capacity_providers
    content {
      capacity_provider = capacity_provider_strategy.value.name
      base              = capacity_provider_strategy.value.base
      weight            = capacity_provider_strategy.value.weight
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
}
