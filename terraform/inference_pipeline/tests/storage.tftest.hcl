# Queues, tables, buckets and repositories: the attributes that the library counts on.

mock_provider "aws" {
  source = "../mocks"
}

variables {
  prefix            = "prod"
  message_max_bytes = 262144
}

run "queues_are_as_the_library_makes_them" {
  module {
    source = "../modules/queues"
  }

  variables {
    labels            = ["resnet50"]
    max_receive_count = 7
  }

  assert {
    condition = alltrue([
      for queue in concat([aws_sqs_queue.dead_letters], values(aws_sqs_queue.placement), values(aws_sqs_queue.label)) :
      queue.fifo_queue && queue.deduplication_scope == "messageGroup" && queue.fifo_throughput_limit == "perMessageGroupId"
      && queue.sqs_managed_sse_enabled && queue.max_message_size == 262144
    ])
    error_message = "All queues are FIFO with high throughput, encrypted, and take the same messages."
  }

  assert {
    condition     = aws_sqs_queue.placement["0"].message_retention_seconds == 3600
    error_message = "A load request is void after an hour."
  }

  assert {
    condition     = aws_sqs_queue.label["resnet50"].message_retention_seconds == 1209600 && aws_sqs_queue.dead_letters.message_retention_seconds == 1209600
    error_message = "Jobs are kept for 14 days."
  }

  assert {
    condition     = aws_sqs_queue.dead_letters.visibility_timeout_seconds == 180
    error_message = "The visibility timeout is six times the timeout of the Lambda that reads the queue."
  }

  assert {
    condition = jsondecode(aws_sqs_queue.label["resnet50"].redrive_policy) == {
      deadLetterTargetArn = aws_sqs_queue.dead_letters.arn
      maxReceiveCount     = 7
    }
    error_message = "A job that nobody finishes goes to the dead-letter queue."
  }
}

run "tables_pay_by_request_and_expire" {
  module {
    source = "../modules/tables"
  }

  assert {
    condition = alltrue([
      for table in [aws_dynamodb_table.jobs, aws_dynamodb_table.registry] :
      table.billing_mode == "PAY_PER_REQUEST" && table.ttl[0].enabled && table.ttl[0].attribute_name == "expires_at"
      && table.point_in_time_recovery[0].enabled && table.deletion_protection_enabled
    ])
    error_message = "Tables are on demand, with TTL, point-in-time recovery and protection against deletion."
  }

  assert {
    condition     = aws_dynamodb_table.jobs.hash_key == "message_id" && aws_dynamodb_table.registry.hash_key == "pk" && aws_dynamodb_table.registry.range_key == "sk"
    error_message = "Tables have other keys than the library uses."
  }
}

run "changes_of_jobs_can_be_followed" {
  module {
    source = "../modules/tables"
  }

  assert {
    condition     = aws_dynamodb_table.jobs.stream_enabled && aws_dynamodb_table.jobs.stream_view_type == "NEW_AND_OLD_IMAGES" && !coalesce(aws_dynamodb_table.registry.stream_enabled, false)
    error_message = "The jobs table has a stream with both images, the registry none."
  }
}

run "tables_under_a_key_of_ones_own" {
  module {
    source = "../modules/tables"
  }

  variables {
    kms_key_arn = "arn:aws:kms:eu-central-1:123456789012:key/0a"
  }

  assert {
    condition = alltrue([
      for table in [aws_dynamodb_table.jobs, aws_dynamodb_table.registry] :
      table.server_side_encryption[0].kms_key_arn == "arn:aws:kms:eu-central-1:123456789012:key/0a"
    ])
    error_message = "Both tables are encrypted with the given key."
  }
}

run "payloads_expire" {
  module {
    source = "../modules/bucket"
  }

  variables {
    name              = "prod-payloads-123456789012"
    expire_after_days = 15
  }

  assert {
    condition     = one([for rule in aws_s3_bucket_lifecycle_configuration.this.rule : rule.expiration[0].days if rule.id == "expire"]) == 15
    error_message = "Payloads expire."
  }

  assert {
    condition     = length(aws_s3_bucket_versioning.this) == 0
    error_message = "Expired payloads leave no old versions behind."
  }

  assert {
    condition = (
      aws_s3_bucket_public_access_block.this.block_public_acls && aws_s3_bucket_public_access_block.this.block_public_policy
      && aws_s3_bucket_public_access_block.this.ignore_public_acls && aws_s3_bucket_public_access_block.this.restrict_public_buckets
    )
    error_message = "Nothing of the bucket is public."
  }
}

run "models_keep_their_old_versions_for_a_while" {
  module {
    source = "../modules/bucket"
  }

  variables {
    name      = "prod-models-123456789012"
    versioned = true
  }

  assert {
    condition     = aws_s3_bucket_versioning.this[0].versioning_configuration[0].status == "Enabled"
    error_message = "The bucket is versioned."
  }

  assert {
    condition     = toset([for rule in aws_s3_bucket_lifecycle_configuration.this.rule : rule.id]) == toset(["abort-uploads", "expire-old-versions"])
    error_message = "Old versions expire, current ones do not."
  }
}

run "image_tags_are_never_overwritten" {
  module {
    source = "../modules/repositories"
  }

  variables {
    names = { consumer = "prod-consumer" }
  }

  assert {
    condition     = aws_ecr_repository.this["consumer"].image_tag_mutability == "IMMUTABLE" && aws_ecr_repository.this["consumer"].image_scanning_configuration[0].scan_on_push
    error_message = "Tags are immutable and images are scanned."
  }
}
