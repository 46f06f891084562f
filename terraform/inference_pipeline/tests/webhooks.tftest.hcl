# Requests to callback URLs: two queues, and a function that reads the jobs table's stream and one of them.

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

run "there_are_none_unless_they_are_asked_for" {
  command = plan

  assert {
    condition     = output.webhooks == null && length(module.webhooks) == 0 && !contains(keys(output.policy_json), "webhooks")
    error_message = "Webhooks were made that nobody asked for."
  }
}

run "names_follow_from_the_environment" {
  variables {
    webhooks = { enabled = true }
  }

  assert {
    condition = (
      output.webhooks.queue.name == "inference-engine-prod-webhooks" && output.webhooks.dead_queue.name == "inference-engine-prod-webhooks-dead"
      && output.functions.webhooks == "inference-engine-prod-webhooks"
    )
    error_message = "Queues or function have other names than the library gives them."
  }

  assert {
    condition     = output.webhooks.secret_parameter == "/inference-engine/prod/webhooks/secret"
    error_message = "The secret is looked for elsewhere than `inference-engine webhooks secret` puts it."
  }

  assert {
    condition     = !contains(values(module.parameters.names), output.webhooks.secret_parameter) && module.parameters.names["webhooks_function"] == "/inference-engine/prod/webhooks_function"
    error_message = "Terraform writes the secret."
  }

  assert {
    condition = toset([for name in keys(output.alarm_arns) : name if strcontains(name, "webhooks")]) == toset([
      for what in ["dead", "late", "behind", "errors"] : "inference-engine-prod-webhooks-${what}"
    ])
    error_message = "Nobody is told of webhooks that were given up or are late, or of a function that fails."
  }
}

run "deliveries_come_again_and_are_given_up" {
  module {
    source = "../modules/webhooks"
  }

  variables {
    prefix          = "prod"
    parameter_path  = "/inference-engine/prod"
    jobs_stream_arn = "arn:aws:dynamodb:eu-central-1:123456789012:table/prod-jobs/stream/2026-01-01T00:00:00.000"
    zip_path        = "../mocks/zips/webhooks.zip"
    environment     = { INFERENCE_ENGINE_PREFIX = "prod" }
    policy_arn      = "arn:aws:iam::123456789012:policy/policy"
  }

  assert {
    condition = (
      aws_sqs_queue.deliveries.visibility_timeout_seconds == 720 && aws_sqs_queue.deliveries.message_retention_seconds == 345600
      && aws_sqs_queue.dead.message_retention_seconds == 1209600
      && aws_sqs_queue.deliveries.sqs_managed_sse_enabled && aws_sqs_queue.dead.sqs_managed_sse_enabled
    )
    error_message = "Queues have other attributes than the library counts on."
  }

  assert {
    condition     = jsondecode(aws_sqs_queue.deliveries.redrive_policy) == { deadLetterTargetArn = aws_sqs_queue.dead.arn, maxReceiveCount = 10 }
    error_message = "What nobody takes is kept after ten tries."
  }
}
