# The HTTP gateway: who reaches it, what runs, and how it starts and stops.

mock_provider "aws" {
  source = "../mocks"
}

variables {
  environment                 = "prod"
  vpc_id                      = "vpc-0123456789abcdef0"
  subnet_ids                  = ["subnet-0a", "subnet-0b"]
  endpoint_security_group_ids = ["sg-0a"]
  prefix_list_ids             = { s3 = "pl-0a", dynamodb = "pl-0b" }
  lambda_zips_dir             = "../mocks/zips"
  message_max_bytes           = 262144
  gateway = {
    enabled             = true
    certificate_arn     = "arn:aws:acm:eu-central-1:123456789012:certificate/0a"
    allowed_cidr_blocks = ["10.0.0.0/8"]
  }
}

run "there_is_none_unless_it_is_asked_for" {
  command = plan

  variables {
    gateway = {}
  }

  assert {
    condition     = output.gateway == null && length(module.gateway) == 0 && length(module.gateway_balancer) == 0
    error_message = "A gateway was made that nobody asked for."
  }

  assert {
    condition     = keys(module.repositories.urls) == ["consumer", "triton"]
    error_message = "A repository was made for an image that nobody runs."
  }
}

run "it_listens_everywhere_and_requires_keys" {
  assert {
    condition = {
      for variable in output.gateway.container.environment : variable.name => variable.value
      if startswith(variable.name, "INFERENCE_ENGINE_GATEWAY_")
      } == {
      INFERENCE_ENGINE_GATEWAY_BODIES_MAX_BYTES    = "26843545"
      INFERENCE_ENGINE_GATEWAY_BODY_MAX_BYTES      = "8388608"
      INFERENCE_ENGINE_GATEWAY_HOST                = "0.0.0.0"
      INFERENCE_ENGINE_GATEWAY_MAX_QUEUE_BYTES     = "26843545"
      INFERENCE_ENGINE_GATEWAY_PORT                = "8000"
      INFERENCE_ENGINE_GATEWAY_REQUIRE_KEYS        = "true"
      INFERENCE_ENGINE_GATEWAY_SHUTDOWN_DELAY      = "45"
      INFERENCE_ENGINE_GATEWAY_TIMEOUT_SECONDS     = "300"
      INFERENCE_ENGINE_GATEWAY_TIMEOUT_MAX_SECONDS = "300"
      INFERENCE_ENGINE_GATEWAY_TRUST_PROXY         = "true"
    }
    error_message = "The gateway is told something else than was asked for."
  }

  assert {
    condition = {
      for variable in output.gateway.container.environment : variable.name => variable.value
      if startswith(variable.name, "INFERENCE_ENGINE_WEBHOOKS_")
    } == { INFERENCE_ENGINE_WEBHOOKS_ALLOW_PRIVATE = "false" }
    error_message = "Callbacks would be taken that lead inside."
  }

  assert {
    condition     = !contains(keys(output.gateway.container), "healthCheck")
    error_message = "The target group asks for health; a process each few seconds would compete with the gateway."
  }

  assert {
    condition = alltrue([
      for name, value in output.settings :
      contains(output.gateway.container.environment, { name = "INFERENCE_ENGINE_${upper(name)}", value = value })
    ])
    error_message = "The gateway has other settings than clients and consumers."
  }

  assert {
    condition = (
      output.gateway.container.readonlyRootFilesystem && output.gateway.container.user == "10001"
      && output.gateway.container.linuxParameters.capabilities.drop == ["ALL"]
    )
    error_message = "The container may do more than it has to."
  }

  assert {
    condition     = output.gateway.container.stopTimeout == 60
    error_message = "ECS would kill the gateway while callers wait."
  }

  assert {
    condition     = output.gateway.container.image == "123456789012.dkr.ecr.eu-central-1.amazonaws.com/repository:1"
    error_message = "The image is another one than that of the repository made here."
  }

  assert {
    condition     = output.gateway.service_name == "inference-engine-prod-gateway" && output.gateway.log_group_name == "/inference-engine/inference-engine-prod-gateway/gateway"
    error_message = "Service or log group have other names."
  }

  assert {
    condition     = module.parameters.names["gateway_service"] == "/inference-engine/prod/gateway_service" && contains(keys(module.parameters.names), "gateway_repository_url")
    error_message = "Whoever releases the gateway finds its names in SSM."
  }

  assert {
    condition     = output.gateway.url == "https://internal-gateway-1.eu-central-1.elb.amazonaws.com"
    error_message = "With a certificate the gateway speaks HTTPS."
  }
}

run "larger_bodies_where_there_is_memory" {
  command = plan

  variables {
    gateway = {
      enabled             = true
      plain_http          = true
      allowed_cidr_blocks = ["10.0.0.0/8"]
      cpu                 = 4096
      memory_mib          = 30720
      body_max_mib        = 480
    }
  }

  assert {
    condition     = contains(output.gateway.container.environment, { name = "INFERENCE_ENGINE_GATEWAY_BODY_MAX_BYTES", value = "503316480" })
    error_message = "The limit is another one than asked for."
  }
}

run "a_callers_timeout_is_shorter_than_the_load_balancers" {
  variables {
    gateway = {
      enabled             = true
      plain_http          = true
      allowed_cidr_blocks = ["10.0.0.0/8"]
      timeout_seconds     = 120
    }
  }

  assert {
    condition     = contains(output.gateway.container.environment, { name = "INFERENCE_ENGINE_GATEWAY_TIMEOUT_MAX_SECONDS", value = "120" })
    error_message = "A caller could wait for longer than the connection lasts."
  }

  assert {
    condition     = output.gateway.url == "http://internal-gateway-1.eu-central-1.elb.amazonaws.com"
    error_message = "Without a certificate it is plain HTTP."
  }
}

run "callbacks_of_private_addresses_are_taken_where_they_are_delivered" {
  command = plan

  variables {
    webhooks = { enabled = true, allow_private = true }
  }

  assert {
    condition     = contains(output.gateway.container.environment, { name = "INFERENCE_ENGINE_WEBHOOKS_ALLOW_PRIVATE", value = "true" })
    error_message = "The gateway refuses what the function delivers."
  }
}

################################################################################
# The load balancer
################################################################################

run "tls_at_the_load_balancer" {
  module {
    source = "../modules/gateway_balancer"
  }

  variables {
    name                         = "inference-engine-prod-gateway"
    internal                     = true
    allowed_cidr_blocks          = ["10.0.0.0/8", "192.168.0.0/16"]
    task_security_group_id       = "sg-0c"
    task_port                    = 8000
    certificate_arn              = "arn:aws:acm:eu-central-1:123456789012:certificate/0a"
    idle_timeout_seconds         = 320
    deregistration_delay_seconds = 300
    access_logs                  = { bucket = "logs", prefix = "gateway" }
    web_acl                      = { arn = "arn:aws:wafv2:eu-central-1:123456789012:regional/webacl/acl/0a" }
  }

  assert {
    condition = (
      aws_lb_listener.requests.port == 443 && aws_lb_listener.requests.protocol == "HTTPS"
      && aws_lb_listener.requests.ssl_policy == "ELBSecurityPolicy-TLS13-1-2-2021-06"
      && aws_lb_listener.requests.default_action[0].target_group_arn == aws_lb_target_group.this.arn
    )
    error_message = "Requests come by TLS 1.2 or 1.3 and go to the tasks."
  }

  assert {
    condition     = one([for redirect in aws_lb_listener.redirect[0].default_action[0].redirect : "${redirect.protocol} ${redirect.port} ${redirect.status_code}"]) == "HTTPS 443 HTTP_301"
    error_message = "Port 80 sends callers to port 443."
  }

  assert {
    condition = (
      aws_lb.this.idle_timeout == 320 && aws_lb.this.drop_invalid_header_fields && aws_lb.this.enable_deletion_protection
      && aws_lb.this.access_logs[0].bucket == "logs"
    )
    error_message = "The load balancer is another one than asked for."
  }

  assert {
    condition = (
      aws_lb_target_group.this.target_type == "ip" && aws_lb_target_group.this.port == 8000
      && aws_lb_target_group.this.deregistration_delay == "300"
      && aws_lb_target_group.this.health_check[0].path == "/v2/health/live"
    )
    error_message = "Tasks are asked for their health elsewhere, or leave in another time than they need."
  }

  assert {
    condition = toset([for rule in values(aws_vpc_security_group_ingress_rule.callers) : "${rule.cidr_ipv4} ${rule.from_port}-${rule.to_port}"]) == toset([
      "10.0.0.0/8 443-443", "10.0.0.0/8 80-80", "192.168.0.0/16 443-443", "192.168.0.0/16 80-80",
    ])
    error_message = "Others than the callers reach the load balancer."
  }

  assert {
    condition = (
      aws_vpc_security_group_ingress_rule.tasks.security_group_id == "sg-0c" && aws_vpc_security_group_ingress_rule.tasks.from_port == 8000
      && aws_vpc_security_group_ingress_rule.tasks.referenced_security_group_id == aws_security_group.this.id
      && aws_vpc_security_group_egress_rule.tasks.referenced_security_group_id == "sg-0c"
    )
    error_message = "Load balancer and tasks do not reach each other, and nobody else."
  }

  assert {
    condition     = aws_wafv2_web_acl_association.this[0].resource_arn == aws_lb.this.arn
    error_message = "Requests do not pass the web ACL."
  }
}

run "plain_http_inside" {
  module {
    source = "../modules/gateway_balancer"
  }

  variables {
    name                         = "inference-engine-production-of-many-gateway"
    internal                     = true
    plain_http                   = true
    allowed_cidr_blocks          = ["10.0.0.0/8"]
    task_security_group_id       = "sg-0c"
    task_port                    = 8000
    idle_timeout_seconds         = 320
    deregistration_delay_seconds = 300
  }

  assert {
    condition     = aws_lb_listener.requests.port == 80 && aws_lb_listener.requests.protocol == "HTTP" && length(aws_lb_listener.redirect) == 0
    error_message = "There is one listener, for HTTP."
  }

  assert {
    condition     = [for rule in values(aws_vpc_security_group_ingress_rule.callers) : rule.from_port] == [80]
    error_message = "A port is open that nobody listens on."
  }

  assert {
    condition     = can(regex("^inference-engine-produc-[0-9a-f]{8}$", aws_lb.this.name)) && aws_lb_target_group.this.name == aws_lb.this.name
    error_message = "Names of more than 32 characters end in a hash of the whole."
  }

  assert {
    condition     = length(aws_wafv2_web_acl_association.this) == 0 && length(aws_lb.this.access_logs) == 0
    error_message = "Web ACL and access logs were not asked for."
  }
}

run "names_that_elastic_load_balancing_refuses" {
  module {
    source = "../modules/gateway_balancer"
  }

  variables {
    name                         = "Internal_tools-gateway"
    internal                     = true
    plain_http                   = true
    allowed_cidr_blocks          = ["10.0.0.0/8"]
    task_security_group_id       = "sg-0c"
    task_port                    = 8000
    idle_timeout_seconds         = 320
    deregistration_delay_seconds = 300
  }

  assert {
    condition     = aws_lb.this.name == "lb-internal-tools-gateway" && aws_lb_target_group.this.name == aws_lb.this.name
    error_message = "A load balancer's name must not begin with 'internal-', and takes no capitals and no '_' here."
  }
}

run "keys_do_not_cross_the_internet_in_the_open" {
  command = plan

  module {
    source = "../modules/gateway_balancer"
  }

  variables {
    name                         = "prod-gateway"
    internal                     = false
    plain_http                   = true
    allowed_cidr_blocks          = ["0.0.0.0/0"]
    task_security_group_id       = "sg-0c"
    task_port                    = 8000
    idle_timeout_seconds         = 320
    deregistration_delay_seconds = 300
  }

  expect_failures = [aws_lb_listener.requests]
}

################################################################################
# The service
################################################################################

run "tasks_come_before_others_go" {
  module {
    source = "../modules/gateway"
  }

  variables {
    name                   = "prod-gateway"
    partition              = "aws"
    region                 = "eu-central-1"
    account_id             = "123456789012"
    compute                = { cpu = 512, memory_mib = 1024, architecture = "ARM64" }
    container              = { image = "gateway:1", user = "10001" }
    body_max_mib           = 16
    timeout_seconds        = 300
    shutdown_delay_seconds = 30
    environment            = {}
    cluster_arn            = "arn:aws:ecs:eu-central-1:123456789012:cluster/prod"
    cluster_name           = "prod"
    network = {
      vpc_id                      = "vpc-0123456789abcdef0"
      subnet_ids                  = ["subnet-0a"]
      endpoint_security_group_ids = ["sg-0a"]
      prefix_list_ids             = { s3 = "pl-0a" }
      egress_cidr_blocks          = []
    }
    target_group_arn  = "arn:aws:elasticloadbalancing:eu-central-1:123456789012:targetgroup/prod-gateway/0a"
    metric_dimensions = { load_balancer = "app/prod-gateway/0a", target_group = "targetgroup/prod-gateway/0a" }
    scaling           = { min_tasks = 2, max_tasks = 6, cpu_percent = 60, requests_per_minute = 3000 }
    policy_arn        = "arn:aws:iam::123456789012:policy/prod-gateway"
    repository_arns   = ["arn:aws:ecr:eu-central-1:123456789012:repository/prod-gateway"]
  }

  assert {
    condition = (
      module.service.service.deployment_minimum_healthy_percent == 100 && module.service.service.deployment_circuit_breaker[0].rollback
      && !module.service.service.network_configuration[0].assign_public_ip && module.service.service.desired_count == 2
    )
    error_message = "A deployment would leave callers with fewer tasks, or a failing one would go on."
  }

  assert {
    condition     = one([for balancer in module.service.service.load_balancer : "${balancer.container_name} ${balancer.container_port}"]) == "gateway 8000"
    error_message = "The load balancer does not reach the container."
  }

  assert {
    condition     = jsondecode(module.service.task_definition.container_definitions)[0].stopTimeout == 45
    error_message = "The container is killed fifteen seconds after the callers' time is over."
  }

  assert {
    condition     = aws_appautoscaling_target.this.min_capacity == 2 && aws_appautoscaling_target.this.max_capacity == 6
    error_message = "The limits are others than asked for."
  }

  assert {
    condition = {
      for name, policy in aws_appautoscaling_policy.this : name => one([
        for tracked in policy.target_tracking_scaling_policy_configuration : "${tracked.predefined_metric_specification[0].predefined_metric_type} ${tracked.target_value}"
      ])
    } == { cpu = "ECSServiceAverageCPUUtilization 60", requests = "ALBRequestCountPerTarget 3000" }
    error_message = "Autoscaling follows something else than asked for."
  }

  assert {
    condition     = one(aws_appautoscaling_policy.this["requests"].target_tracking_scaling_policy_configuration[0].predefined_metric_specification).resource_label == "app/prod-gateway/0a/targetgroup/prod-gateway/0a"
    error_message = "Requests are counted of another target group."
  }
}
