data "aws_region" "current" {}

data "aws_vpc" "this" {
  id = var.vpc_id
}

locals {
  # `id` is the Region's name in versions 5 and 6 of the provider.
  service_prefix = "com.amazonaws.${data.aws_region.current.id}"

  interface_services = toset(concat(
    ["sqs", "ecr.api", "ecr.dkr", "logs", "monitoring"],
    var.ssm ? ["ssm"] : [],
    var.ecs ? ["ecs", "ecs-agent", "ecs-telemetry"] : [],
  ))
  gateway_services = toset(["s3", "dynamodb"])
}

################################################################################
# Who may reach the endpoints: the VPC, over HTTPS
################################################################################

resource "aws_security_group" "this" {
  name        = "${var.name}-endpoints"
  description = "VPC endpoints of ${var.name}: HTTPS from inside the VPC"
  vpc_id      = var.vpc_id

  tags = merge(var.tags, { Name = "${var.name}-endpoints" })
}

resource "aws_vpc_security_group_ingress_rule" "vpc" {
  security_group_id = aws_security_group.this.id
  description       = "HTTPS from the VPC"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
  cidr_ipv4         = data.aws_vpc.this.cidr_block

  tags = var.tags
}

resource "aws_vpc_security_group_ingress_rule" "other" {
  for_each = var.other_cidr_blocks

  security_group_id = aws_security_group.this.id
  description       = "HTTPS from ${each.value}"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
  cidr_ipv4         = each.value

  tags = var.tags
}

################################################################################
# Endpoints
################################################################################

resource "aws_vpc_endpoint" "interface" {
  for_each = local.interface_services

  vpc_id              = var.vpc_id
  vpc_endpoint_type   = "Interface"
  service_name        = "${local.service_prefix}.${each.value}"
  subnet_ids          = var.subnet_ids
  security_group_ids  = [aws_security_group.this.id]
  private_dns_enabled = true

  tags = merge(var.tags, { Name = "${var.name}-${each.value}" })
}

resource "aws_vpc_endpoint" "gateway" {
  for_each = local.gateway_services

  vpc_id            = var.vpc_id
  vpc_endpoint_type = "Gateway"
  service_name      = "${local.service_prefix}.${each.value}"
  route_table_ids   = var.route_table_ids

  tags = merge(var.tags, { Name = "${var.name}-${each.value}" })
}
