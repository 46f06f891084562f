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
    condition     = aws_lambda_function.this.reserved_concurrent_executions == -1 && length(aws_cloudwatch_event_rule.this) == 0
    error_message = "It has no schedule and reserves nothing."
  }

  assert {
    condition     = length(aws_lambda_function_event_invoke_config.schedule) == 0
    error_message = "Its messages come again as the queue says."
  }
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
