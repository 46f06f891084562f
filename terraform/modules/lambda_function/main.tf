data "aws_partition" "current" {}

################################################################################
# Role
################################################################################

data "aws_iam_policy_document" "assume" {
  # Lambda sends no aws:SourceAccount when it assumes an execution role; iam:PassRole guards the role.
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["lambda.amazonaws.com"]
    }
  }
}

resource "aws_iam_role" "this" {
  name               = var.name
  description        = "Execution role of the function ${var.name}"
  assume_role_policy = data.aws_iam_policy_document.assume.json

  tags = var.tags
}

resource "aws_iam_role_policy_attachment" "this" {
  role       = aws_iam_role.this.name
  policy_arn = var.policy_arn
}

# Lambda uses the function's own role to create a network interface in each subnet.
resource "aws_iam_role_policy_attachment" "vpc" {
  count = var.network == null ? 0 : 1

  role       = aws_iam_role.this.name
  policy_arn = "arn:${data.aws_partition.current.partition}:iam::aws:policy/service-role/AWSLambdaVPCAccessExecutionRole"
}

################################################################################
# Function
################################################################################

resource "aws_cloudwatch_log_group" "this" {
  #checkov:skip=CKV_AWS_338:log_retention_days sets how long logs are kept
  name              = "/aws/lambda/${var.name}"
  retention_in_days = var.log_retention_days
  kms_key_id        = var.kms_key_arn

  tags = var.tags
}

resource "aws_lambda_function" "this" {
  #checkov:skip=CKV_AWS_50:X-Ray would need permissions on all resources; the function logs what it does
  #checkov:skip=CKV_AWS_116:The schedule, the queue or the stream retries the work after a failure
  #checkov:skip=CKV_AWS_117:Most functions call only AWS APIs; webhooks may run in a VPC
  #checkov:skip=CKV_AWS_173:The environment holds names and numbers, no secrets
  #checkov:skip=CKV_AWS_272:The zip comes from this repository and is built reproducibly
  function_name    = var.name
  description      = var.description
  role             = aws_iam_role.this.arn
  handler          = "handler.handle"
  runtime          = var.runtime
  architectures    = [var.architecture]
  filename         = var.zip_path
  source_code_hash = fileexists(var.zip_path) ? filebase64sha256(var.zip_path) : null
  memory_size      = var.memory_mb
  timeout          = var.timeout_seconds

  reserved_concurrent_executions = coalesce(var.reserved_concurrency, -1)

  environment {
    variables = var.environment
  }

  dynamic "vpc_config" {
    for_each = var.network == null ? [] : [var.network]
    content {
      subnet_ids         = vpc_config.value.subnet_ids
      security_group_ids = vpc_config.value.security_group_ids
    }
  }

  tags = var.tags

  depends_on = [
    aws_iam_role_policy_attachment.this, aws_iam_role_policy_attachment.vpc, aws_cloudwatch_log_group.this,
  ]
}

################################################################################
# Triggers
################################################################################

resource "aws_cloudwatch_event_rule" "this" {
  count = var.schedule == null ? 0 : 1

  name                = var.name
  description         = "Invokes ${var.name}"
  schedule_expression = var.schedule

  tags = var.tags
}

resource "aws_cloudwatch_event_target" "this" {
  count = var.schedule == null ? 0 : 1

  rule = aws_cloudwatch_event_rule.this[0].name
  arn  = aws_lambda_function.this.arn

  # A late run is outdated: the next one is due within the minute.
  retry_policy {
    maximum_event_age_in_seconds = 60
    maximum_retry_attempts       = 0
  }
}

# EventBridge only hands the event over. Lambda queues and retries it by itself, so its own limits are needed too.
resource "aws_lambda_function_event_invoke_config" "schedule" {
  count = var.schedule == null ? 0 : 1

  function_name                = aws_lambda_function.this.function_name
  maximum_event_age_in_seconds = 60
  maximum_retry_attempts       = 0
}

resource "aws_lambda_permission" "schedule" {
  count = var.schedule == null ? 0 : 1

  statement_id  = "schedule"
  action        = "lambda:InvokeFunction"
  function_name = aws_lambda_function.this.function_name
  principal     = "events.amazonaws.com"
  source_arn    = aws_cloudwatch_event_rule.this[0].arn
}

resource "aws_lambda_event_source_mapping" "queue" {
  count = var.queue == null ? 0 : 1

  event_source_arn        = var.queue.arn
  function_name           = aws_lambda_function.this.arn
  batch_size              = var.queue.batch_size
  function_response_types = ["ReportBatchItemFailures"]

  dynamic "scaling_config" {
    for_each = var.queue.max_concurrency == null ? [] : [var.queue.max_concurrency]
    content {
      maximum_concurrency = scaling_config.value
    }
  }

  tags = var.tags
}

# Starts at the stream's oldest record: with LATEST, records written in the minutes that the mapping takes to start or to be
# replaced would never be read (Lambda Developer Guide, "Polling and stream starting positions"). A shard's oldest batch blocks
# the records after it until it succeeds, at most for max_age_seconds; then it is given up, and a queue gets a message about it.
resource "aws_lambda_event_source_mapping" "stream" {
  count = var.stream == null ? 0 : 1

  event_source_arn               = var.stream.arn
  function_name                  = aws_lambda_function.this.arn
  starting_position              = "TRIM_HORIZON"
  batch_size                     = var.stream.batch_size
  bisect_batch_on_function_error = true
  maximum_retry_attempts         = -1
  maximum_record_age_in_seconds  = var.stream.max_age_seconds
  function_response_types        = ["ReportBatchItemFailures"]

  filter_criteria {
    filter {
      pattern = var.stream.pattern
    }
  }

  destination_config {
    on_failure {
      destination_arn = var.stream.failures_queue_arn
    }
  }

  tags = var.tags
}
