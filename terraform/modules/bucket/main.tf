locals {
  # S3 charges for an interrupted upload until it is aborted.
  abort_uploads_days = 3
}

resource "aws_s3_bucket" "this" {
  #checkov:skip=CKV_AWS_18:Access logs need their own bucket; to log access, turn on CloudTrail data events for the account
  #checkov:skip=CKV_AWS_144:Payloads are transient and models have their source elsewhere: a copy in another Region is not worth its cost
  #checkov:skip=CKV2_AWS_62:Nothing listens for changes to objects
  bucket        = var.name
  force_destroy = var.force_destroy

  tags = var.tags
}

################################################################################
# Privacy
################################################################################

resource "aws_s3_bucket_public_access_block" "this" {
  bucket = aws_s3_bucket.this.id

  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_server_side_encryption_configuration" "this" {
  bucket = aws_s3_bucket.this.id

  rule {
    apply_server_side_encryption_by_default {
      sse_algorithm     = var.kms_key_arn == null ? "AES256" : "aws:kms"
      kms_master_key_id = var.kms_key_arn
    }
    # One KMS call serves many objects.
    bucket_key_enabled = var.kms_key_arn != null
  }
}

data "aws_iam_policy_document" "tls_only" {
  statement {
    sid       = "TlsOnly"
    effect    = "Deny"
    actions   = ["s3:*"]
    resources = [aws_s3_bucket.this.arn, "${aws_s3_bucket.this.arn}/*"]

    principals {
      type        = "*"
      identifiers = ["*"]
    }

    condition {
      test     = "Bool"
      variable = "aws:SecureTransport"
      values   = ["false"]
    }
  }
}

resource "aws_s3_bucket_policy" "this" {
  bucket = aws_s3_bucket.this.id
  policy = data.aws_iam_policy_document.tls_only.json

  # S3 rejects two concurrent changes to a bucket's access.
  depends_on = [aws_s3_bucket_public_access_block.this]
}

################################################################################
# Versions and lifecycle
################################################################################

resource "aws_s3_bucket_versioning" "this" {
  count = var.versioned ? 1 : 0

  bucket = aws_s3_bucket.this.id

  versioning_configuration {
    status = "Enabled"
  }
}

resource "aws_s3_bucket_lifecycle_configuration" "this" {
  #checkov:skip=CKV_AWS_300:The rule abort-uploads does this; checkov does not see it beside dynamic rules
  bucket = aws_s3_bucket.this.id

  rule {
    id     = "abort-uploads"
    status = "Enabled"
    filter {}

    abort_incomplete_multipart_upload {
      days_after_initiation = local.abort_uploads_days
    }
  }

  dynamic "rule" {
    for_each = var.expire_after_days == null ? [] : [var.expire_after_days]
    content {
      id     = "expire"
      status = "Enabled"
      filter {}

      expiration {
        days = rule.value
      }
    }
  }

  dynamic "rule" {
    for_each = var.versioned ? [var.old_versions_days] : []
    content {
      id     = "expire-old-versions"
      status = "Enabled"
      filter {}

      noncurrent_version_expiration {
        noncurrent_days = rule.value
      }
    }
  }

  depends_on = [aws_s3_bucket_versioning.this]
}
