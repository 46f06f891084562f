locals {
  on_gpu = var.compute.gpus > 0
  gpus   = [{ type = "GPU", value = tostring(var.compute.gpus) }]

  # Containers stop in the reverse order of dependsOn: first the consumer, which drains, then Triton.
  # 120 s is Fargate's limit, and the notice that Spot gives.
  consumer_stop_seconds = 120
  triton_stop_seconds   = var.triton.exit_timeout_seconds + 10

  volumes = var.triton.enabled ? ["models", "consumer-tmp", "triton-tmp"] : ["consumer-tmp"]

  log_group_names = {
    for name in concat(["consumer"], var.triton.enabled ? ["triton"] : []) : name => "/inference-engine/${var.name}/${name}"
  }
  log_group_arn = "arn:${var.partition}:logs:${var.region}:${var.account_id}:log-group"

  logs = {
    for name, group_name in local.log_group_names : name => {
      logDriver = "awslogs"
      options = {
        "awslogs-group"         = group_name
        "awslogs-region"        = var.region
        "awslogs-stream-prefix" = "ecs"
        # A slow log service must not block the container.
        "mode"            = "non-blocking"
        "max-buffer-size" = "4m"
      }
    }
  }
}

################################################################################
# Containers
################################################################################

locals {
  # Volumes of a task belong to root, and the other containers do not run as root: this one makes them writable and exits. As
  # owner of the folders it needs no capability.
  volumes_container = {
    name                   = "volumes"
    image                  = var.consumer.image
    essential              = false
    user                   = "0"
    readonlyRootFilesystem = true
    entryPoint             = ["chmod"]
    command                = concat(["1777"], [for volume in local.volumes : "/volumes/${volume}"])
    linuxParameters        = { capabilities = { drop = ["ALL"] } }
    logConfiguration       = local.logs["consumer"]
    mountPoints = [
      for volume in local.volumes : { sourceVolume = volume, containerPath = "/volumes/${volume}", readOnly = false }
    ]
  }

  triton_container = merge(
    {
      name                   = "triton"
      image                  = var.triton.image
      essential              = true
      readonlyRootFilesystem = true
      stopTimeout            = local.triton_stop_seconds
      command = concat(
        [
          "tritonserver",
          "--model-repository=/models",
          "--model-control-mode=explicit",
          "--strict-readiness=false",
          "--exit-timeout-secs=${var.triton.exit_timeout_seconds}",
        ],
        var.triton.arguments,
      )
      mountPoints = [
        { sourceVolume = "models", containerPath = "/models", readOnly = true },
        { sourceVolume = "triton-tmp", containerPath = "/tmp", readOnly = false },
      ]
      dependsOn = [{ containerName = "volumes", condition = "SUCCESS" }]
      healthCheck = {
        command     = ["CMD", "curl", "-sf", "http://127.0.0.1:8000/v2/health/live"]
        interval    = 5
        timeout     = 3
        retries     = 10
        startPeriod = 120
      }
      logConfiguration = lookup(local.logs, "triton", null)
    },
    var.triton.user == null ? {} : { user = var.triton.user },
    local.on_gpu ? { resourceRequirements = local.gpus } : {},
    # Python models talk to the server through shared memory, whose size cannot be set on Fargate.
    local.on_gpu ? { linuxParameters = { sharedMemorySize = var.triton.shared_memory_mib } } : {},
  )

  consumer_container = merge(
    {
      name                   = "consumer"
      image                  = var.consumer.image
      essential              = true
      readonlyRootFilesystem = true
      stopTimeout            = local.consumer_stop_seconds
      command                = var.consumer.command
      environment            = [for name in sort(keys(var.environment)) : { name = name, value = var.environment[name] }]
      mountPoints = concat(
        [{ sourceVolume = "consumer-tmp", containerPath = "/tmp", readOnly = false }],
        var.triton.enabled ? [{ sourceVolume = "models", containerPath = "/models", readOnly = false }] : [],
      )
      dependsOn = concat(
        [{ containerName = "volumes", condition = "SUCCESS" }],
        var.triton.enabled ? [{ containerName = "triton", condition = "HEALTHY" }] : [],
      )
      healthCheck = {
        command = [
          "CMD", "python", "-c",
          "import urllib.request as r; r.urlopen('http://127.0.0.1:8080/healthz', timeout=2)",
        ]
        interval    = 10
        timeout     = 3
        retries     = 3
        startPeriod = 60
      }
      logConfiguration = local.logs["consumer"]
    },
    var.consumer.user == null ? {} : { user = var.consumer.user },
    local.on_gpu && !var.triton.enabled ? { resourceRequirements = local.gpus } : {},
  )

  containers = concat(
    [local.volumes_container],
    var.triton.enabled ? [local.triton_container] : [],
    [local.consumer_container],
  )
}

################################################################################
# Task definition
################################################################################

resource "aws_ecs_task_definition" "this" {
  family                   = var.name
  requires_compatibilities = [local.on_gpu ? "EC2" : "FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = tostring(var.compute.cpu)
  memory                   = tostring(var.compute.memory_mib)
  execution_role_arn       = aws_iam_role.execution.arn
  task_role_arn            = aws_iam_role.task.arn
  container_definitions    = jsonencode(local.containers)
  # The deployment circuit breaker, and operators, roll back to an earlier revision, which must not be deregistered.
  skip_destroy = var.keep_revisions

  runtime_platform {
    operating_system_family = "LINUX"
    cpu_architecture        = var.compute.architecture
  }

  # On instances, the volumes use the instance's own disk.
  dynamic "ephemeral_storage" {
    for_each = local.on_gpu ? [] : [var.compute.ephemeral_storage_gib]
    content {
      size_in_gib = ephemeral_storage.value
    }
  }

  dynamic "volume" {
    for_each = local.volumes
    content {
      name = volume.value
    }
  }

  tags = var.tags

  # Tasks must find their log groups.
  depends_on = [aws_cloudwatch_log_group.this]
}

################################################################################
# Logs
################################################################################

resource "aws_cloudwatch_log_group" "this" {
  #checkov:skip=CKV_AWS_338:log_retention_days sets how long logs are kept
  for_each = local.log_group_names

  name              = each.value
  retention_in_days = var.log_retention_days
  kms_key_id        = var.kms_key_arn

  tags = var.tags
}

################################################################################
# Roles: the task's own, and the one that ECS starts it with
################################################################################

data "aws_iam_policy_document" "assume" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["ecs-tasks.amazonaws.com"]
    }

    # Tasks of this account only (ECS Developer Guide, "Amazon ECS task IAM role").
    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [var.account_id]
    }

    condition {
      test     = "ArnLike"
      variable = "aws:SourceArn"
      values   = ["arn:${var.partition}:ecs:${var.region}:${var.account_id}:*"]
    }
  }
}

resource "aws_iam_role" "task" {
  name               = "${var.name}-task"
  description        = "Permissions of the containers of ${var.name}"
  assume_role_policy = data.aws_iam_policy_document.assume.json

  tags = var.tags
}

resource "aws_iam_role_policy_attachment" "task" {
  for_each = var.task_policy_arns

  role       = aws_iam_role.task.name
  policy_arn = each.value
}

resource "aws_iam_role" "execution" {
  name               = "${var.name}-execution"
  description        = "Permissions of ECS to start ${var.name}"
  assume_role_policy = data.aws_iam_policy_document.assume.json

  tags = var.tags
}

data "aws_iam_policy_document" "execution" {
  statement {
    sid       = "LogInToRegistry"
    actions   = ["ecr:GetAuthorizationToken"]
    resources = ["*"]
  }

  statement {
    sid       = "PullImages"
    actions   = ["ecr:BatchCheckLayerAvailability", "ecr:GetDownloadUrlForLayer", "ecr:BatchGetImage"]
    resources = var.repository_arns
  }

  statement {
    sid       = "Log"
    actions   = ["logs:CreateLogStream", "logs:PutLogEvents"]
    resources = [for name in values(local.log_group_names) : "${local.log_group_arn}:${name}:*"]
  }
}

resource "aws_iam_policy" "execution" {
  name        = "${var.name}-execution"
  description = "Pulls the images and opens the logs of ${var.name}"
  policy      = data.aws_iam_policy_document.execution.json

  tags = var.tags
}

resource "aws_iam_role_policy_attachment" "execution" {
  role       = aws_iam_role.execution.name
  policy_arn = aws_iam_policy.execution.arn
}
