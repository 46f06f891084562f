# Wrong inputs end in a sentence that says what is wrong, before anything is made.

mock_provider "aws" {
  source = "../mocks"
}

variables {
  environment                 = "prod"
  vpc_id                      = "vpc-0123456789abcdef0"
  subnet_ids                  = ["subnet-0a"]
  endpoint_security_group_ids = ["sg-0a"]
  prefix_list_ids             = { s3 = "pl-0a", dynamodb = "pl-0b" }
  lambda_zips_dir             = "../mocks/zips"
  message_max_bytes           = 262144
}

run "names" {
  command = plan

  variables {
    # The rights of "prod" would reach the queues of "prod-eu".
    environment      = "prod-eu"
    prefix           = "team a"
    vpc_id           = "prod"
    subnet_ids       = []
    alarm_topic_arns = ["alarms"]
    kms_key_arn      = "alias/mine"
  }

  expect_failures = [
    var.environment, var.prefix, var.vpc_id, var.subnet_ids, var.alarm_topic_arns, var.kms_key_arn,
  ]
}

run "limits_of_services" {
  command = plan

  variables {
    message_max_bytes                    = 2097152
    visibility_timeout_seconds           = 43201
    wait_time_seconds                    = 21
    max_receive_count                    = 4
    payload_retention_days               = 14
    log_retention_days                   = 31
    oldest_job_age_seconds               = 0
    lambda_runtime                       = "nodejs22.x"
    lambda_architecture                  = "ARM64"
    backlog_metrics_reserved_concurrency = 0
  }

  expect_failures = [
    var.message_max_bytes, var.visibility_timeout_seconds, var.wait_time_seconds, var.max_receive_count,
    var.payload_retention_days, var.log_retention_days, var.oldest_job_age_seconds, var.lambda_runtime,
    var.lambda_architecture, var.backlog_metrics_reserved_concurrency,
  ]
}

# From here on each run has one wrong value of several variables: a run takes seconds, and each variable is told by itself.

run "first_wrong_values" {
  command = plan

  variables {
    # Security groups do not take it.
    prefix = "sg-prod"
    # Tasks without a way to AWS.
    endpoint_security_group_ids = []
    prefix_list_ids             = {}
    # A size that Fargate does not have.
    compute = { cpu = 1024, memory_mib = 16384 }
    # A drain that ECS would cut off.
    consumer = { drain_seconds = 120 }
    # Fewer tasks at most than at least.
    scaling = { min_capacity = 5, max_capacity = 4 }
    # No TLS.
    gateway = { enabled = true, allowed_cidr_blocks = ["10.0.0.0/8"] }
    # A delivery that outlasts a run.
    webhooks = { timeout_seconds = 60 }
  }

  expect_failures = [
    var.prefix, var.egress_cidr_blocks, var.compute, var.consumer, var.scaling, var.gateway, var.webhooks,
  ]
}

run "second_wrong_values" {
  command = plan

  variables {
    # Repositories do not take it.
    prefix = "1prod"
    # Of IPv6.
    egress_cidr_blocks = ["::/0"]
    # A GPU on Fargate.
    compute = { gpu_capacity_provider = "FARGATE" }
    # Nothing that computes.
    triton = { enabled = false }
    # Cells that nothing would wake.
    cells   = 2
    scaling = { min_capacity = 0 }
    # In the open.
    gateway = { enabled = true, plain_http = true, internal = false, subnet_ids = ["subnet-0c", "subnet-0d"], allowed_cidr_blocks = ["0.0.0.0/0"] }
    # Lambda's least is two.
    webhooks = { max_concurrency = 1 }
  }

  expect_failures = [
    var.prefix, var.egress_cidr_blocks, var.compute, var.consumer, var.scaling, var.gateway, var.webhooks,
  ]
}

run "third_wrong_values" {
  command = plan

  variables {
    # No capacity provider has a share.
    compute = { fargate_weight = 0, fargate_spot_weight = 0 }
    # An exit that ECS would cut off.
    triton = { exit_timeout_seconds = 115 }
    # Cells that nothing would wake at night.
    cells = 2
    scaling = {
      min_capacity = 1
      schedules    = { evening = { schedule = "cron(0 20 ? * MON-FRI *)", min_capacity = 0, max_capacity = 1 } }
    }
    # Public, in private subnets.
    gateway = { enabled = true, internal = false, certificate_arn = "arn:aws:acm:eu-central-1:123456789012:certificate/0a", allowed_cidr_blocks = ["0.0.0.0/0"] }
  }

  expect_failures = [var.compute, var.triton, var.scaling, var.gateway]
}

run "fourth_wrong_values" {
  command = plan

  variables {
    # A schedule that lets no task run.
    scaling = { schedules = { evening = { schedule = "cron(0 20 ? * MON-FRI *)", min_capacity = 0, max_capacity = 0 } } }
    # Nobody may call it.
    gateway = { enabled = true, plain_http = true }
  }

  expect_failures = [var.scaling, var.gateway]
}

run "fifth_wrong_values" {
  command = plan

  variables {
    # A schedule that is none.
    scaling = { schedules = { morning = { schedule = "at eight", min_capacity = 1, max_capacity = 2 } } }
    # No size on Fargate.
    gateway = { cpu = 256, memory_mib = 4096 }
  }

  expect_failures = [var.scaling, var.gateway]
}

run "a_gateway_whose_memory_one_body_could_fill" {
  command = plan

  variables {
    gateway = { memory_mib = 1024, body_max_mib = 17 }
  }

  expect_failures = [var.gateway]
}

run "a_gateway_that_waits_longer_than_connections_last" {
  command = plan

  variables {
    gateway = { timeout_seconds = 600 }
  }

  expect_failures = [var.gateway]
}

run "a_gateway_that_is_killed_while_callers_wait" {
  command = plan

  variables {
    gateway = { shutdown_delay_seconds = 120 }
  }

  expect_failures = [var.gateway]
}

run "a_gateway_without_tasks" {
  command = plan

  variables {
    gateway = { min_tasks = 0 }
  }

  expect_failures = [var.gateway]
}

run "labels_whose_queues_the_library_names_otherwise" {
  command = plan

  module {
    source = "../modules/queues"
  }

  variables {
    prefix = "prod"
    labels = ["my model", "dead-letters"]
  }

  expect_failures = [var.labels]
}

run "labels_of_reserved_names" {
  command = plan

  module {
    source = "../modules/queues"
  }

  variables {
    prefix = "prod"
    labels = ["placement--0"]
  }

  expect_failures = [var.labels]
}

run "a_label_too_long_for_a_queue" {
  command = plan

  module {
    source = "../modules/queues"
  }

  variables {
    prefix = "inference-engine-production"
    labels = ["a-label-of-so-many-characters-that-the-name-of-its-queue-is-over-the-limit"]
  }

  expect_failures = [aws_sqs_queue.label]
}
