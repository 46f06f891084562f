locals {
  # The same names as inference_engine/labels.py.
  placement_names = (
    var.cells == 1
    ? { "0" = "${var.prefix}-placement.fifo" }
    : { for cell in range(var.cells) : tostring(cell) => "${var.prefix}-placement--${cell}.fifo" }
  )

  retention_seconds = 14 * 24 * 3600
  # A load request that no consumer took within an hour is void: it is sent again.
  placement_retention_seconds = 3600
  # Six times the timeout of the Lambda that reads it (Lambda Developer Guide, "Using Lambda with Amazon SQS").
  dead_letters_visibility_seconds = 180
}

################################################################################
# Dead letters
################################################################################

resource "aws_sqs_queue" "dead_letters" {
  name                        = "${var.prefix}-dead-letters.fifo"
  fifo_queue                  = true
  deduplication_scope         = "messageGroup"
  fifo_throughput_limit       = "perMessageGroupId"
  sqs_managed_sse_enabled     = true
  max_message_size            = var.message_max_bytes
  message_retention_seconds   = local.retention_seconds
  visibility_timeout_seconds  = local.dead_letters_visibility_seconds
  content_based_deduplication = false

  tags = var.tags
}

################################################################################
# Placement: load requests, one queue a cell
################################################################################

resource "aws_sqs_queue" "placement" {
  for_each = local.placement_names

  name                        = each.value
  fifo_queue                  = true
  deduplication_scope         = "messageGroup"
  fifo_throughput_limit       = "perMessageGroupId"
  sqs_managed_sse_enabled     = true
  max_message_size            = var.message_max_bytes
  message_retention_seconds   = local.placement_retention_seconds
  visibility_timeout_seconds  = var.visibility_timeout_seconds
  receive_wait_time_seconds   = var.wait_time_seconds
  content_based_deduplication = false

  tags = var.tags
}

################################################################################
# Labels declared in advance; the library creates the queues of other labels on their first post
################################################################################

resource "aws_sqs_queue" "label" {
  for_each = var.labels

  name                        = "${var.prefix}-${each.value}.fifo"
  fifo_queue                  = true
  deduplication_scope         = "messageGroup"
  fifo_throughput_limit       = "perMessageGroupId"
  sqs_managed_sse_enabled     = true
  max_message_size            = var.message_max_bytes
  message_retention_seconds   = local.retention_seconds
  visibility_timeout_seconds  = var.visibility_timeout_seconds
  receive_wait_time_seconds   = var.wait_time_seconds
  content_based_deduplication = false

  redrive_policy = jsonencode({
    deadLetterTargetArn = aws_sqs_queue.dead_letters.arn
    maxReceiveCount     = var.max_receive_count
  })

  tags = var.tags

  lifecycle {
    precondition {
      condition     = length("${var.prefix}-${each.value}.fifo") <= 80
      error_message = "The queue of label ${each.value} would have a name of more than 80 characters, SQS's limit: shorten the prefix, or leave this label to the library, which shortens names."
    }
  }
}
