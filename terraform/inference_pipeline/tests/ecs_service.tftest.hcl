# What every ECS service of the project has, consumers and gateway alike.

mock_provider "aws" {
  source = "../mocks"
}

variables {
  name          = "prod-app"
  partition     = "aws"
  region        = "eu-central-1"
  account_id    = "123456789012"
  compute       = { cpu = 512, memory_mib = 1024, architecture = "ARM64" }
  containers    = [{ name = "app", image = "app:1", readonlyRootFilesystem = true }]
  cluster_arn   = "arn:aws:ecs:eu-central-1:123456789012:cluster/prod"
  initial_count = 0
  network = {
    vpc_id                      = "vpc-0123456789abcdef0"
    subnet_ids                  = ["subnet-0a"]
    endpoint_security_group_ids = ["sg-0a"]
    prefix_list_ids             = { s3 = "pl-0a", dynamodb = "pl-0b" }
    egress_cidr_blocks          = ["10.1.0.0/16"]
  }
  deployment       = { minimum_healthy_percent = 50, maximum_percent = 150 }
  rebalance_zones  = false
  task_policy_arns = { app = "arn:aws:iam::123456789012:policy/app", more = "arn:aws:iam::123456789012:policy/more" }
  repository_arns  = ["arn:aws:ecr:eu-central-1:123456789012:repository/app"]
  log_groups       = { app = "app" }
}

run "a_service_that_receives_no_requests" {
  module {
    source = "../modules/ecs_service"
  }

  variables {
    capacity_providers = [{ name = "FARGATE", base = 1, weight = 0 }, { name = "FARGATE_SPOT", base = 0, weight = 1 }]
  }

  assert {
    condition     = aws_ecs_service.this.deployment_circuit_breaker[0].enable && aws_ecs_service.this.deployment_circuit_breaker[0].rollback
    error_message = "A deployment that fails is rolled back."
  }

  assert {
    condition     = aws_ecs_service.this.deployment_minimum_healthy_percent == 50 && aws_ecs_service.this.deployment_maximum_percent == 150
    error_message = "A deployment keeps as many tasks as asked for."
  }

  assert {
    condition     = aws_ecs_service.this.force_new_deployment && length(aws_ecs_service.this.capacity_provider_strategy) == 2
    error_message = "Capacity providers change without replacing the service."
  }

  assert {
    condition     = aws_ecs_service.this.availability_zone_rebalancing == "DISABLED"
    error_message = "ECS would stop tasks to even out zones."
  }

  assert {
    condition     = aws_ecs_service.this.enable_ecs_managed_tags && aws_ecs_service.this.propagate_tags == "SERVICE"
    error_message = "Tasks carry the service's tags."
  }

  assert {
    condition     = !aws_ecs_service.this.network_configuration[0].assign_public_ip && aws_ecs_service.this.desired_count == 0
    error_message = "Tasks are private, and the service begins with as many as autoscaling has at least."
  }

  assert {
    condition     = length(aws_ecs_service.this.load_balancer) == 0 && aws_ecs_service.this.health_check_grace_period_seconds == null
    error_message = "Nothing sends requests to the tasks."
  }

  assert {
    condition = alltrue([
      for rule in concat(
        values(aws_vpc_security_group_egress_rule.gateways), values(aws_vpc_security_group_egress_rule.other),
        aws_vpc_security_group_egress_rule.endpoints,
      ) : rule.from_port == 443 && rule.to_port == 443
    ]) && keys(aws_vpc_security_group_egress_rule.other) == ["10.1.0.0/16"]
    error_message = "Tasks reach what was named, by HTTPS and nothing else."
  }

  assert {
    condition     = keys(aws_iam_role_policy_attachment.task) == ["app", "more"]
    error_message = "The task's role has other policies than those that were named."
  }
}

run "a_service_behind_a_load_balancer" {
  module {
    source = "../modules/ecs_service"
  }

  variables {
    rebalance_zones = true
    load_balancer = {
      target_group_arn = "arn:aws:elasticloadbalancing:eu-central-1:123456789012:targetgroup/prod-app/0a"
      container_name   = "app"
      container_port   = 8000
    }
  }

  assert {
    condition     = aws_ecs_service.this.launch_type == "FARGATE" && length(aws_ecs_service.this.capacity_provider_strategy) == 0
    error_message = "Without capacity providers, tasks run on plain Fargate."
  }

  assert {
    condition     = one([for balancer in aws_ecs_service.this.load_balancer : "${balancer.container_name} ${balancer.container_port}"]) == "app 8000"
    error_message = "The load balancer does not reach the container."
  }

  assert {
    condition     = aws_ecs_service.this.health_check_grace_period_seconds == 60 && aws_ecs_service.this.availability_zone_rebalancing == "ENABLED"
    error_message = "A task that starts is stopped by the first checks, or zones stay uneven."
  }

  assert {
    condition     = length(aws_ecs_task_definition.this.ephemeral_storage) == 0
    error_message = "Nobody asked for more than Fargate's own disk."
  }
}

# AWS replaces a security group or a policy whose description changes, and a role or log group whose name does.
run "names_and_descriptions_are_those_of_0_1_0" {
  module {
    source = "../modules/ecs_service"
  }

  assert {
    condition = [
      aws_security_group.this.description, aws_iam_policy.execution.description, aws_iam_role.task.description, aws_iam_role.execution.description,
      ] == [
      "Tasks of prod-app: no way in, HTTPS out to AWS", "Pulls the image and opens the log of prod-app",
      "Permissions of the containers of prod-app", "Permissions of ECS to start prod-app",
    ]
    error_message = "A description has changed: an upgrade would replace the resource."
  }

  assert {
    condition = [
      aws_security_group.this.name, aws_iam_policy.execution.name, aws_iam_role.task.name, aws_iam_role.execution.name,
      aws_cloudwatch_log_group.this["app"].name, aws_ecs_task_definition.this.family, aws_ecs_service.this.name,
      ] == [
      "prod-app", "prod-app-execution", "prod-app-task", "prod-app-execution", "/inference-engine/prod-app/app", "prod-app", "prod-app",
    ]
    error_message = "A name has changed: an upgrade would replace the resource."
  }
}

run "descriptions_of_a_service_with_a_load_balancer_and_two_containers" {
  command = plan

  module {
    source = "../modules/ecs_service"
  }

  variables {
    containers    = [{ name = "app", image = "app:1" }, { name = "more", image = "more:1" }]
    log_groups    = { app = "app", more = "app" }
    load_balancer = { target_group_arn = "arn:aws:elasticloadbalancing:eu-central-1:123456789012:targetgroup/a/0a", container_name = "app", container_port = 80 }
  }

  assert {
    condition     = aws_security_group.this.description == "Tasks of prod-app: requests from the load balancer, HTTPS out to AWS"
    error_message = "A description has changed: an upgrade would replace the resource."
  }

  assert {
    condition     = aws_iam_policy.execution.description == "Pulls the images and opens the logs of prod-app"
    error_message = "A description has changed: an upgrade would replace the resource."
  }

  assert {
    condition     = keys(aws_cloudwatch_log_group.this) == ["app"]
    error_message = "Two containers cannot share a log group."
  }
}

################################################################################
# What is refused
################################################################################

run "tasks_without_a_place_to_run" {
  command = plan

  module {
    source = "../modules/ecs_service"
  }

  variables {
    fargate = false
  }

  expect_failures = [var.fargate]
}

run "capacity_providers_that_get_no_task" {
  command = plan

  module {
    source = "../modules/ecs_service"
  }

  variables {
    capacity_providers = [{ name = "FARGATE", base = 1, weight = 0 }]
  }

  expect_failures = [var.capacity_providers]
}

run "containers_without_a_name" {
  command = plan

  module {
    source = "../modules/ecs_service"
  }

  variables {
    containers = [{ image = "app:1" }]
  }

  expect_failures = [var.containers]
}
