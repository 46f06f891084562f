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
    condition     = length(aws_subnet.private) == 2
    error_message = "The example has one subnet in each of two zones."
  }
}
