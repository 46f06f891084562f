# A small VPC without internet access, the endpoints that replace it, and one environment.

data "aws_region" "current" {}

data "aws_availability_zones" "available" {
  #checkov:skip=CKV_AWS_394:An example takes the first two; `zones` pins them
  state = "available"

  # Local Zones have neither Fargate nor the endpoints.
  filter {
    name   = "zone-type"
    values = ["availability-zone"]
  }
}

locals {
  name     = "inference-engine-${var.environment}"
  vpc_cidr = "10.20.0.0/16"
  found    = data.aws_availability_zones.available.names
  zones = (
    var.zones == null
    ? slice(local.found, 0, min(2, length(local.found)))
    # `id` is the Region's name in versions 5 and 6 of the provider.
    : [for letter in coalesce(var.zones, []) : "${data.aws_region.current.id}${letter}"]
  )

  tags = merge({ Example = "complete" }, var.tags)
}

################################################################################
# Network
################################################################################

resource "aws_vpc" "this" {
  #checkov:skip=CKV2_AWS_11:An example without internet access; flow logs belong to the account's own VPC
  cidr_block           = local.vpc_cidr
  enable_dns_support   = true
  enable_dns_hostnames = true

  tags = merge(local.tags, { Name = local.name })
}

# Without rules: nothing uses the VPC's default group.
resource "aws_default_security_group" "this" {
  vpc_id = aws_vpc.this.id

  tags = merge(local.tags, { Name = "${local.name}-default" })
}

resource "aws_subnet" "private" {
  count = length(local.zones)

  vpc_id            = aws_vpc.this.id
  availability_zone = local.zones[count.index]
  cidr_block        = cidrsubnet(local.vpc_cidr, 8, count.index)

  tags = merge(local.tags, { Name = "${local.name}-private-${local.zones[count.index]}" })
}

resource "aws_route_table" "private" {
  vpc_id = aws_vpc.this.id

  tags = merge(local.tags, { Name = "${local.name}-private" })
}

resource "aws_route_table_association" "private" {
  count = length(aws_subnet.private)

  subnet_id      = aws_subnet.private[count.index].id
  route_table_id = aws_route_table.private.id
}

################################################################################
# Stacks
################################################################################

module "endpoints" {
  source = "../../endpoints"

  name            = local.name
  vpc_id          = aws_vpc.this.id
  subnet_ids      = aws_subnet.private[*].id
  route_table_ids = [aws_route_table.private.id]
  ssm             = true
  ecs             = var.ecs_endpoints
  tags            = local.tags
}

module "inference_pipeline" {
  source = "../../inference_pipeline"

  environment = var.environment
  labels      = var.labels

  vpc_id                      = module.endpoints.vpc_id
  subnet_ids                  = module.endpoints.subnet_ids
  endpoint_security_group_ids = [module.endpoints.security_group_id]
  prefix_list_ids             = module.endpoints.prefix_list_ids

  message_max_bytes   = var.message_max_bytes
  lambda_zips_dir     = var.lambda_zips_dir
  lambda_runtime      = var.lambda_runtime
  lambda_architecture = var.lambda_architecture

  backlog_metrics_reserved_concurrency = var.backlog_metrics_reserved_concurrency

  compute  = var.compute
  consumer = var.consumer
  triton   = var.triton
  scaling  = var.scaling
  gateway  = var.gateway
  webhooks = var.webhooks

  # The example can be destroyed together with everything in it.
  deletion_protection = false
  force_destroy       = true

  tags = local.tags
}
