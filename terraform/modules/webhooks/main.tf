locals {
  name             = "${var.prefix}-webhooks"
  secret_parameter = "${var.parameter_path}/webhooks/secret"

  timeout_seconds = 120
  # Six times the timeout of the function that reads it (Lambda Developer Guide, "Using Lambda with Amazon SQS").
  visibility_seconds = 6 * local.timeout_seconds
  # A delivery that fails is retried after a growing delay, with ten attempts in all.
  max_receives           = 10
  retention_seconds      = 4 * 24 * 3600
  dead_retention_seconds = 14 * 24 * 3600
}

################################################################################
# Deliveries, and those that were given up
################################################################################

resource "aws_sqs_queue" "dead" {
  name                      = "${local.name}-dead"
  sqs_managed_sse_enabled   = true
  max_message_size          = var.message_max_bytes
  message_retention_seconds = local.dead_retention_seconds

  tags = var.tags
}

resource "aws_sqs_queue" "deliveries" {
  name                       = local.name
  sqs_managed_sse_enabled    = true
  max_message_size           = var.message_max_bytes
  message_retention_seconds  = local.retention_seconds
  visibility_timeout_seconds = local.visibility_seconds

  redrive_policy = jsonencode({
    deadLetterTargetArn = aws_sqs_queue.dead.arn
    maxReceiveCount     = local.max_receives
  })

  tags = var.tags
}

################################################################################
# Function: it queues deliveries from the jobs table's stream, and makes them
################################################################################

module "function" {
  source = "../lambda_function"

  name            = local.name
  description     = "Notifies callers of the end of their jobs with signed requests to their callback URLs"
  zip_path        = var.zip_path
  runtime         = var.runtime
  architecture    = var.architecture
  memory_mb       = 256
  timeout_seconds = local.timeout_seconds
  network         = var.network

  queue = { arn = aws_sqs_queue.deliveries.arn, max_concurrency = var.max_concurrency }
  # Read from its beginning, with retries for as long as DynamoDB keeps its records: a repeated delivery has the same id, but a
  # record that is given up is lost, because Lambda does not pass on its contents.
  stream = {
    arn                = var.jobs_stream_arn
    failures_queue_arn = aws_sqs_queue.dead.arn
    # Jobs without a callback URL, nearly all of them, cost no run.
    pattern = jsonencode({ dynamodb = { NewImage = { callback_url = { S = [{ exists = true }] } } } })
  }

  # The name of the secret, not the secret itself, which must never get into Terraform's state.
  environment = merge(var.environment, {
    INFERENCE_ENGINE_WEBHOOKS_SECRET_PARAMETER = local.secret_parameter
    INFERENCE_ENGINE_WEBHOOKS_ALLOW_PRIVATE    = tostring(var.allow_private)
    INFERENCE_ENGINE_WEBHOOKS_TIMEOUT_SECONDS  = tostring(var.request_timeout_seconds)
  })

  policy_arn         = var.policy_arn
  log_retention_days = var.log_retention_days
  kms_key_arn        = var.kms_key_arn
  tags               = var.tags
}
