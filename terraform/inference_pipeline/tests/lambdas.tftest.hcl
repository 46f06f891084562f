mock_provider "aws" {
  source = "../mocks"
}

variables {
  policy_arn = "arn:aws:iam::123456789012:policy/policy"
}

run "the_metrics_function_runs_each_minute" {
  module {
    source = "../modules/lambda_function"
  }

  variables {
    name                 = "prod-backlog-metrics"
    description          = "Measures"
    zip_path             = "../mocks/zips/backlog_metrics.zip"
    memory_mb            = 512
    timeout_seconds      = 55
    schedule             = "rate(1 minute)"
    reserved_concurrency = 1
  }

  assert {
    condition     = aws_cloudwatch_event_rule.this[0].schedule_expression == "rate(1 minute)" && aws_cloudwatch_event_target.this[0].arn == aws_lambda_function.this.arn
    error_message = "The rule invokes the function."
  }

  assert {
    condition = [
      for invocation in aws_lambda_function_event_invoke_config.schedule :
      "${invocation.maximum_retry_attempts} in ${invocation.maximum_event_age_in_seconds} s"
    ] == ["0 in 60 s"]
    error_message = "A late run measures the past; Lambda must not keep what the schedule asked for."
  }

  assert {
    condition     = aws_lambda_function.this.handler == "handler.handle" && aws_lambda_function.this.reserved_concurrent_executions == 1
    error_message = "The function has another handler, or may run twice at the same time."
  }

  assert {
    condition     = length(aws_lambda_event_source_mapping.queue) == 0
    error_message = "It reads no queue."
  }
}

run "the_dead_letters_function_reports_failures_one_by_one" {
  module {
    source = "../modules/lambda_function"
  }

  variables {
    name            = "prod-dead-letters"
    description     = "Answers"
    zip_path        = "../mocks/zips/dead_letters.zip"
    memory_mb       = 256
    timeout_seconds = 30
    queue           = { arn = "arn:aws:sqs:eu-central-1:123456789012:prod-dead-letters.fifo" }
  }

  assert {
    condition     = aws_lambda_event_source_mapping.queue[0].batch_size == 10 && tolist(aws_lambda_event_source_mapping.queue[0].function_response_types) == tolist(["ReportBatchItemFailures"])
    error_message = "One bad message must not bring back the nine beside it."
  }

  assert {
    condition     = length(aws_lambda_event_source_mapping.queue[0].scaling_config) == 0
    error_message = "Dead letters are few: nothing bounds its runs."
  }

  assert {
    condition     = aws_lambda_function.this.reserved_concurrent_executions == -1 && length(aws_cloudwatch_event_rule.this) == 0
    error_message = "It has no schedule and reserves nothing."
  }

  assert {
    condition     = length(aws_lambda_function_event_invoke_config.schedule) == 0
    error_message = "Its messages come again as the queue says."
  }
}

run "the_function_reads_all_that_a_stream_keeps" {
  module {
    source = "../modules/lambda_function"
  }

  variables {
    name            = "prod-webhooks"
    description     = "Tells"
    zip_path        = "../mocks/zips/webhooks.zip"
    memory_mb       = 256
    timeout_seconds = 120
    queue           = { arn = "arn:aws:sqs:eu-central-1:123456789012:prod-webhooks", max_concurrency = 10 }
    stream = {
      arn                = "arn:aws:dynamodb:eu-central-1:123456789012:table/prod-jobs/stream/2026-01-01T00:00:00.000"
      failures_queue_arn = "arn:aws:sqs:eu-central-1:123456789012:prod-webhooks-dead"
      pattern            = "{\"dynamodb\":{\"NewImage\":{\"callback_url\":{\"S\":[{\"exists\":true}]}}}}"
    }
    network = { subnet_ids = ["subnet-0a"], security_group_ids = ["sg-0a"] }
  }

  assert {
    condition = (
      aws_lambda_event_source_mapping.stream[0].starting_position == "TRIM_HORIZON" && aws_lambda_event_source_mapping.stream[0].batch_size == 100
      && aws_lambda_event_source_mapping.stream[0].bisect_batch_on_function_error
      && aws_lambda_event_source_mapping.stream[0].maximum_record_age_in_seconds == 86400
      && tolist(aws_lambda_event_source_mapping.stream[0].function_response_types) == tolist(["ReportBatchItemFailures"])
    )
    error_message = "Records would be passed over or given up, or one that cannot be dealt with would bring the others back each time."
  }

  assert {
    condition     = aws_lambda_event_source_mapping.stream[0].maximum_retry_attempts == -1
    error_message = "Records would be given up before their day is over."
  }

  assert {
    condition = one(flatten([
      for criteria in aws_lambda_event_source_mapping.stream[0].filter_criteria : [for filter in criteria.filter : jsondecode(filter.pattern)]
    ])) == { dynamodb = { NewImage = { callback_url = { S = [{ exists = true }] } } } }
    error_message = "Jobs without a callback URL cost runs of the function."
  }

  assert {
    condition     = aws_lambda_event_source_mapping.stream[0].destination_config[0].on_failure[0].destination_arn == "arn:aws:sqs:eu-central-1:123456789012:prod-webhooks-dead"
    error_message = "Records are given up in silence."
  }

  assert {
    condition     = aws_lambda_event_source_mapping.queue[0].batch_size == 10 && tolist(aws_lambda_event_source_mapping.queue[0].function_response_types) == tolist(["ReportBatchItemFailures"])
    error_message = "One receiver that fails would bring back the others' deliveries."
  }

  assert {
    condition     = one(aws_lambda_event_source_mapping.queue[0].scaling_config).maximum_concurrency == 10
    error_message = "Slow receivers would take the account's other functions their runs."
  }

  assert {
    condition = (
      length(aws_iam_role_policy_attachment.vpc) == 1
      && tolist(aws_lambda_function.this.vpc_config[0].subnet_ids) == tolist(["subnet-0a"])
    )
    error_message = "In a VPC the function needs its subnets, and the right to make network interfaces."
  }
}

run "more_runs_at_once_than_lambda_grants" {
  command = plan

  module {
    source = "../modules/lambda_function"
  }

  variables {
    name            = "prod-webhooks"
    description     = "Tells"
    zip_path        = "../mocks/zips/webhooks.zip"
    memory_mb       = 256
    timeout_seconds = 120
    queue           = { arn = "arn:aws:sqs:eu-central-1:123456789012:prod-webhooks", max_concurrency = 1001 }
  }

  expect_failures = [var.queue]
}

run "zips_that_were_not_built" {
  command = plan

  module {
    source = "../modules/lambda_function"
  }

  variables {
    name            = "prod-backlog-metrics"
    description     = "Measures"
    zip_path        = "../mocks/zips/nothing.zip"
    memory_mb       = 512
    timeout_seconds = 55
  }

  expect_failures = [var.zip_path]
}
