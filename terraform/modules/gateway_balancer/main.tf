locals {
  # A load balancer's name has at most 32 characters, no '_', and does not begin with 'internal-' (Elastic Load Balancing API
  # Reference, "CreateLoadBalancer").
  plain_name = replace(trim(lower(replace(var.name, "_", "-")), "-"), "/^internal-/", "lb-internal-")
  short_name = (
    length(local.plain_name) <= 32
    ? local.plain_name
    : "${trim(substr(local.plain_name, 0, 23), "-")}-${substr(sha256(local.plain_name), 0, 8)}"
  )

  # Does not depend on certificate_arn, which may be unknown until the certificate is created.
  secure = !var.plain_http
  port   = local.secure ? 443 : 80
  # Port 80 beside HTTPS only redirects callers to port 443.
  ports = local.secure ? { https = 443, redirect = 80 } : { http = 80 }

  ways_in = {
    for pair in setproduct(keys(local.ports), var.allowed_cidr_blocks) :
    "${pair[0]} ${pair[1]}" => { port = local.ports[pair[0]], cidr = pair[1] }
  }
}

################################################################################
# Network: callers reach the load balancer, which forwards requests to the tasks
################################################################################

resource "aws_security_group" "this" {
  name        = "${var.name}-balancer"
  description = "Load balancer of ${var.name}: callers in, tasks of the gateway out"
  vpc_id      = var.vpc_id

  tags = merge(var.tags, { Name = "${var.name}-balancer" })
}

resource "aws_vpc_security_group_ingress_rule" "callers" {
  for_each = local.ways_in

  security_group_id = aws_security_group.this.id
  description       = "Callers from ${each.value.cidr}"
  ip_protocol       = "tcp"
  from_port         = each.value.port
  to_port           = each.value.port
  cidr_ipv4         = each.value.cidr

  tags = var.tags
}

resource "aws_vpc_security_group_egress_rule" "tasks" {
  security_group_id            = aws_security_group.this.id
  description                  = "Requests to the tasks of the gateway"
  ip_protocol                  = "tcp"
  from_port                    = var.task_port
  to_port                      = var.task_port
  referenced_security_group_id = var.task_security_group_id

  tags = var.tags
}

resource "aws_vpc_security_group_ingress_rule" "tasks" {
  security_group_id            = var.task_security_group_id
  description                  = "Requests from the load balancer"
  ip_protocol                  = "tcp"
  from_port                    = var.task_port
  to_port                      = var.task_port
  referenced_security_group_id = aws_security_group.this.id

  tags = var.tags
}

################################################################################
# Load balancer
################################################################################

resource "aws_lb" "this" {
  name               = local.short_name
  load_balancer_type = "application"
  internal           = var.internal
  subnets            = var.subnet_ids
  security_groups    = [aws_security_group.this.id]

  # Callers wait for results: an idle connection is not dead until the gateway itself has given up.
  idle_timeout               = var.idle_timeout_seconds
  drop_invalid_header_fields = true
  desync_mitigation_mode     = "defensive"
  enable_deletion_protection = var.deletion_protection

  dynamic "access_logs" {
    for_each = var.access_logs == null ? [] : [var.access_logs]
    content {
      enabled = true
      bucket  = access_logs.value.bucket
      prefix  = access_logs.value.prefix
    }
  }

  tags = var.tags
}

resource "aws_lb_target_group" "this" {
  name                 = local.short_name
  vpc_id               = var.vpc_id
  target_type          = "ip"
  protocol             = "HTTP"
  port                 = var.task_port
  deregistration_delay = var.deregistration_delay_seconds
  # Calls last from milliseconds to minutes: round robin would pile them up on some tasks.
  load_balancing_algorithm_type = "least_outstanding_requests"

  health_check {
    # Not `ready`: ECS replaces unhealthy tasks. While AWS does not respond, that would be all tasks at once, although they
    # continue with what they know. A stopping task gets no new requests because it is deregistered.
    path                = "/v2/health/live"
    matcher             = "200"
    interval            = 10
    timeout             = 5
    healthy_threshold   = 2
    unhealthy_threshold = 3
  }

  tags = var.tags
}

resource "aws_lb_listener" "requests" {
  load_balancer_arn = aws_lb.this.arn
  port              = local.port
  protocol          = local.secure ? "HTTPS" : "HTTP"
  ssl_policy        = local.secure ? "ELBSecurityPolicy-TLS13-1-2-2021-06" : null
  certificate_arn   = local.secure ? var.certificate_arn : null

  default_action {
    type             = "forward"
    target_group_arn = aws_lb_target_group.this.arn
  }

  tags = var.tags

  lifecycle {
    precondition {
      condition     = local.secure ? var.certificate_arn != null : var.internal
      error_message = "HTTPS needs certificate_arn; plain_http is for internal load balancers only: callers' keys would travel in plain text."
    }
  }
}

resource "aws_lb_listener" "redirect" {
  count = local.secure ? 1 : 0

  load_balancer_arn = aws_lb.this.arn
  port              = 80
  protocol          = "HTTP"

  default_action {
    type = "redirect"

    redirect {
      protocol    = "HTTPS"
      port        = "443"
      status_code = "HTTP_301"
    }
  }

  tags = var.tags

  # With plain_http, the other listener uses port 80: it frees the port before this one is created, and takes it after this one
  # is destroyed.
  depends_on = [aws_lb_listener.requests]
}

################################################################################
# Firewall, optional
################################################################################

resource "aws_wafv2_web_acl_association" "this" {
  count = var.web_acl == null ? 0 : 1

  resource_arn = aws_lb.this.arn
  web_acl_arn  = var.web_acl.arn
}
