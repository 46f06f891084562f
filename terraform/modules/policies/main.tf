locals {
  account_arn = "${var.region}:${var.account_id}"
  # Queues of labels are created on first use, so policies match them by prefix.
  queue_arns = ["arn:${var.partition}:sqs:${local.account_arn}:${var.prefix}-*.fifo"]
  task_arns  = ["arn:${var.partition}:ecs:${local.account_arn}:task/${var.cluster_name}/*"]
  service_arns = [
    for name in var.service_names : "arn:${var.partition}:ecs:${local.account_arn}:service/${var.cluster_name}/${name}"
  ]
  parameter_path = trimprefix(var.parameter_path, "/")
  parameter_arns = [
    "arn:${var.partition}:ssm:${local.account_arn}:parameter/${local.parameter_path}",
    "arn:${var.partition}:ssm:${local.account_arn}:parameter/${local.parameter_path}/*",
  ]

  secret_parameter_arn = "arn:${var.partition}:ssm:${local.account_arn}:parameter/${local.parameter_path}/webhooks/secret"
  # Standard queues, which the pattern of queue_arns does not match.
  webhook_queue_arns = {
    deliveries = "arn:${var.partition}:sqs:${local.account_arn}:${var.prefix}-webhooks"
    dead       = "arn:${var.partition}:sqs:${local.account_arn}:${var.prefix}-webhooks-dead"
  }

  create_queue = var.auto_create_queues ? ["sqs:CreateQueue"] : []
  post         = concat(["sqs:SendMessage", "sqs:GetQueueUrl", "sqs:GetQueueAttributes"], local.create_queue)
  receive      = ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility"]
  registry = [
    "dynamodb:Query", "dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem",
  ]
  job_records = ["dynamodb:PartiQLInsert", "dynamodb:PartiQLUpdate", "dynamodb:BatchGetItem"]

  # API keys are the registry's partition `keys`.
  read_all_keys = ["dynamodb:Query", "dynamodb:BatchGetItem"]
  write_keys    = ["dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem"]

  documents = merge(
    {
      producer        = data.aws_iam_policy_document.producer.json
      gateway         = data.aws_iam_policy_document.gateway.json
      consumer        = data.aws_iam_policy_document.consumer.json
      operator        = data.aws_iam_policy_document.operator.json
      backlog-metrics = data.aws_iam_policy_document.backlog_metrics.json
      dead-letters    = data.aws_iam_policy_document.dead_letters.json
    },
    var.webhooks ? { webhooks = data.aws_iam_policy_document.webhooks.json } : {},
  )
  descriptions = {
    producer        = "Posts jobs and reads their results"
    gateway         = "Posts jobs of HTTP callers, whose keys it reads, and answers them"
    consumer        = "Takes jobs, loads models and writes results"
    operator        = "Runs the commands dlq, labels, consumers, keys and webhooks of inference-engine"
    backlog-metrics = "Measures the backlog and publishes it"
    dead-letters    = "Turns dead letters into results"
    webhooks        = "Tells callers of the end of their jobs"
  }
}

resource "aws_iam_policy" "this" {
  for_each = local.documents

  name        = "${var.prefix}-${each.key}"
  description = "${local.descriptions[each.key]} (${var.prefix})"
  policy      = each.value

  tags = var.tags
}

################################################################################
# Shared by several roles
################################################################################

data "aws_iam_policy_document" "job_data" {
  statement {
    sid       = "JobRecords"
    actions   = local.job_records
    resources = [var.jobs_table_arn]
  }

  statement {
    sid       = "KeepPayloads"
    actions   = ["s3:PutObject"]
    resources = ["${var.payloads_bucket_arn}/*"]
  }

  dynamic "statement" {
    for_each = var.kms_key_arn == null ? [] : [var.kms_key_arn]
    content {
      sid       = "Key"
      actions   = ["kms:Decrypt", "kms:GenerateDataKey", "kms:DescribeKey"]
      resources = [statement.value]
    }
  }
}

data "aws_iam_policy_document" "job_data_read" {
  source_policy_documents = [data.aws_iam_policy_document.job_data.json]

  statement {
    sid       = "ReadPayloads"
    actions   = ["s3:GetObject"]
    resources = ["${var.payloads_bucket_arn}/*"]
  }
}

# The registry's partition `keys` is for the gateway and operators only: whoever could write there could create itself a key.
data "aws_iam_policy_document" "no_api_keys" {
  statement {
    sid       = "NoApiKeys"
    effect    = "Deny"
    actions   = concat(["dynamodb:GetItem"], local.read_all_keys, local.write_keys)
    resources = [var.registry_table_arn]

    condition {
      test     = "ForAnyValue:StringEquals"
      variable = "dynamodb:LeadingKeys"
      values   = ["keys"]
    }
  }
}

################################################################################
# Producer
################################################################################

data "aws_iam_policy_document" "posting" {
  source_policy_documents = [data.aws_iam_policy_document.job_data_read.json]

  statement {
    sid       = "Post"
    actions   = local.post
    resources = local.queue_arns
  }

  # Its name also begins with the prefix; only SQS moves messages there.
  statement {
    sid       = "NoDeadLetters"
    effect    = "Deny"
    actions   = ["sqs:SendMessage"]
    resources = [var.dead_letter_queue_arn]
  }

  statement {
    sid       = "SeeHosts"
    actions   = ["dynamodb:Query", "dynamodb:GetItem"]
    resources = [var.registry_table_arn]
  }

  statement {
    sid       = "AnnounceWaiting"
    actions   = ["dynamodb:UpdateItem"]
    resources = [var.registry_table_arn]

    condition {
      test     = "ForAllValues:StringEquals"
      variable = "dynamodb:LeadingKeys"
      values   = ["waiting"]
    }
  }

  statement {
    sid       = "ReadParameters"
    actions   = ["ssm:GetParametersByPath"]
    resources = local.parameter_arns
  }

  # Whoever may read a path may read everything below it (Systems Manager User Guide, "Restricting access to Parameter Store
  # parameters using IAM policies"). Whoever could decrypt this parameter could sign webhooks.
  statement {
    sid       = "NoWebhookSecret"
    effect    = "Deny"
    actions   = ["kms:Decrypt"]
    resources = ["*"]

    condition {
      test     = "StringEquals"
      variable = "kms:EncryptionContext:PARAMETER_ARN"
      values   = [local.secret_parameter_arn]
    }
  }
}

data "aws_iam_policy_document" "producer" {
  source_policy_documents = [data.aws_iam_policy_document.posting.json, data.aws_iam_policy_document.no_api_keys.json]
}

################################################################################
# Gateway: a producer that also reads its callers' keys and the models' signatures
################################################################################

data "aws_iam_policy_document" "gateway" {
  source_policy_documents = [data.aws_iam_policy_document.posting.json]

  # It reads single keys by the id that callers send; it can neither list keys nor write them.
  statement {
    sid       = "ApiKeysOneByOne"
    effect    = "Deny"
    actions   = concat(local.read_all_keys, local.write_keys)
    resources = [var.registry_table_arn]

    condition {
      test     = "ForAnyValue:StringEquals"
      variable = "dynamodb:LeadingKeys"
      values   = ["keys"]
    }
  }
}

################################################################################
# Consumer
################################################################################

data "aws_iam_policy_document" "consumer" {
  source_policy_documents = [data.aws_iam_policy_document.job_data_read.json, data.aws_iam_policy_document.no_api_keys.json]

  statement {
    sid       = "Queues"
    actions   = concat(local.post, local.receive)
    resources = local.queue_arns
  }

  statement {
    sid       = "Registry"
    actions   = local.registry
    resources = [var.registry_table_arn]
  }

  statement {
    sid       = "Models"
    actions   = ["s3:GetObject"]
    resources = ["${var.models_bucket_arn}/*"]
  }

  statement {
    sid       = "ListModels"
    actions   = ["s3:ListBucket"]
    resources = [var.models_bucket_arn]
  }

  statement {
    sid       = "ProtectOwnTask"
    actions   = ["ecs:UpdateTaskProtection", "ecs:GetTaskProtection"]
    resources = local.task_arns
  }
}

################################################################################
# Operator
################################################################################

data "aws_iam_policy_document" "operator" {
  source_policy_documents = [data.aws_iam_policy_document.job_data_read.json]

  statement {
    sid       = "Queues"
    actions   = distinct(concat(local.post, ["sqs:CreateQueue", "sqs:ReceiveMessage", "sqs:DeleteMessage"]))
    resources = local.queue_arns
  }

  statement {
    sid       = "Registry"
    actions   = local.registry
    resources = [var.registry_table_arn]
  }

  statement {
    sid       = "ReadParameters"
    actions   = ["ssm:GetParametersByPath"]
    resources = local.parameter_arns
  }

  statement {
    sid       = "MakeWebhookSecret"
    actions   = ["ssm:GetParameter", "ssm:PutParameter"]
    resources = [local.secret_parameter_arn]
  }
}

################################################################################
# Lambdas
################################################################################

data "aws_iam_policy_document" "backlog_metrics" {
  source_policy_documents = [data.aws_iam_policy_document.no_api_keys.json]

  statement {
    sid       = "FindQueues"
    actions   = ["sqs:ListQueues"]
    resources = ["*"]
  }

  statement {
    # A received message tells which label a forgotten queue with a hashed name belongs to.
    sid       = "MeasureQueues"
    actions   = ["sqs:GetQueueUrl", "sqs:GetQueueAttributes", "sqs:ReceiveMessage"]
    resources = local.queue_arns
  }

  statement {
    sid       = "SeeFleet"
    actions   = ["ecs:DescribeServices"]
    resources = local.service_arns
  }

  statement {
    sid       = "RingPlacement"
    actions   = ["sqs:SendMessage"]
    resources = var.placement_queue_arns
  }

  statement {
    sid       = "Registry"
    actions   = local.registry
    resources = [var.registry_table_arn]
  }

  statement {
    sid       = "Publish"
    actions   = ["cloudwatch:PutMetricData"]
    resources = ["*"]

    condition {
      test     = "StringEquals"
      variable = "cloudwatch:namespace"
      values   = [var.metric_namespace]
    }
  }

  statement {
    sid       = "Log"
    actions   = ["logs:CreateLogStream", "logs:PutLogEvents"]
    resources = [local.log_group_arns["backlog-metrics"]]
  }

  dynamic "statement" {
    for_each = var.kms_key_arn == null ? [] : [var.kms_key_arn]
    content {
      sid       = "Key"
      actions   = ["kms:Decrypt", "kms:DescribeKey"]
      resources = [statement.value]
    }
  }
}

data "aws_iam_policy_document" "dead_letters" {
  source_policy_documents = [data.aws_iam_policy_document.job_data.json, data.aws_iam_policy_document.no_api_keys.json]

  statement {
    sid       = "TakeDeadLetters"
    actions   = concat(local.receive, ["sqs:GetQueueAttributes"])
    resources = [var.dead_letter_queue_arn]
  }

  statement {
    sid       = "NoteDeadLetters"
    actions   = ["dynamodb:PutItem"]
    resources = [var.registry_table_arn]

    condition {
      test     = "ForAllValues:StringEquals"
      variable = "dynamodb:LeadingKeys"
      values   = ["dead-letters"]
    }
  }

  statement {
    sid       = "Log"
    actions   = ["logs:CreateLogStream", "logs:PutLogEvents"]
    resources = [local.log_group_arns["dead-letters"]]
  }
}

data "aws_iam_policy_document" "webhooks" {
  # A recreated table has a stream with another name.
  statement {
    sid = "ReadStream"
    actions = [
      "dynamodb:DescribeStream", "dynamodb:GetRecords", "dynamodb:GetShardIterator", "dynamodb:ListStreams",
    ]
    resources = ["${var.jobs_table_arn}/stream/*"]
  }

  statement {
    sid       = "Deliver"
    actions   = concat(local.receive, ["sqs:SendMessage", "sqs:GetQueueUrl", "sqs:GetQueueAttributes"])
    resources = [local.webhook_queue_arns.deliveries]
  }

  # Lambda itself sends a message there about stream records that it gave up.
  statement {
    sid       = "GiveUp"
    actions   = ["sqs:SendMessage"]
    resources = [local.webhook_queue_arns.dead]
  }

  statement {
    sid       = "ReadSecret"
    actions   = ["ssm:GetParameter"]
    resources = [local.secret_parameter_arn]
  }

  statement {
    sid       = "Log"
    actions   = ["logs:CreateLogStream", "logs:PutLogEvents"]
    resources = [local.log_group_arns["webhooks"]]
  }

  dynamic "statement" {
    for_each = var.kms_key_arn == null ? [] : [var.kms_key_arn]
    content {
      sid       = "Key"
      actions   = ["kms:Decrypt", "kms:DescribeKey"]
      resources = [statement.value]
    }
  }
}

locals {
  log_group_arns = {
    for name in ["backlog-metrics", "dead-letters", "webhooks"] :
    name => "arn:${var.partition}:logs:${local.account_arn}:log-group:/aws/lambda/${var.prefix}-${name}:*"
  }
}
