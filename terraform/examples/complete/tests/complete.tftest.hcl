mock_provider "aws" {
  source = "../../mocks"
}

variables {
  lambda_zips_dir = "../../mocks/zips"
  # What versions of the provider before 6.8 take at most.
  message_max_bytes = 262144
}

run "plans_from_nothing" {
  command = plan

  assert {
    condition     = output.inference_pipeline.prefix == "inference-engine-example"
    error_message = "The prefix does not follow from the environment."
  }
}

run "applies_with_the_network_of_the_endpoints" {
  assert {
    condition     = output.inference_pipeline.service_names == { "0" = "inference-engine-example-consumer" }
    error_message = "The service has another name."
  }

  assert {
    condition     = toset(keys(output.endpoints.vpc_endpoints)) == toset(["sqs", "ecr.api", "ecr.dkr", "logs", "monitoring", "ssm", "s3", "dynamodb"])
    error_message = "The VPC has other endpoints than its private subnets need."
  }

  assert {
    condition     = aws_subnet.private[*].availability_zone == ["eu-central-1a", "eu-central-1c"]
    error_message = "The example has one subnet in each of the first two zones that there are."
  }
}

run "inputs_of_the_stack_are_passed_on" {
  command = plan

  variables {
    zones         = ["b", "d"]
    ecs_endpoints = true
    compute       = { fargate_base = 0, fargate_weight = 0 }
    consumer      = { image_tag = "2", max_labels = 7 }
    triton        = { image = "triton:1" }
    scaling       = { min_capacity = 1, max_capacity = 3 }
    gateway       = { enabled = true, plain_http = true, allowed_cidr_blocks = ["10.20.0.0/16"], image = "gateway:1" }
    webhooks      = { enabled = true }
  }

  assert {
    condition     = endswith(output.inference_pipeline.containers["0"].consumer.image, ":2") && contains(output.inference_pipeline.containers["0"].consumer.command, "7")
    error_message = "The consumer is another one than asked for."
  }

  assert {
    condition     = output.inference_pipeline.containers["0"].triton.image == "triton:1"
    error_message = "Triton is another one than asked for."
  }

  assert {
    condition     = output.inference_pipeline.scaling["0"].min_capacity == 1 && output.inference_pipeline.scaling["0"].max_capacity == 3
    error_message = "The limits are others than asked for."
  }

  assert {
    condition     = aws_subnet.private[*].availability_zone == ["eu-central-1b", "eu-central-1d"] && contains(keys(output.endpoints.vpc_endpoints), "ecs-agent")
    error_message = "Zones and endpoints are others than asked for."
  }

  assert {
    condition     = output.inference_pipeline.gateway.container.image == "gateway:1" && output.inference_pipeline.webhooks.secret_parameter == "/inference-engine/example/webhooks/secret"
    error_message = "Gateway and webhooks are others than asked for."
  }
}
