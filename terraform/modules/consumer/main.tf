locals {
  on_gpu = var.compute.gpus > 0
  gpus   = [{ type = "GPU", value = tostring(var.compute.gpus) }]

  # Containers stop in the reverse order of dependsOn: first the consumer, which drains, then Triton.
  # 120 s is Fargate's limit, and the notice that Spot gives.
  consumer_stop_seconds = 120
  triton_stop_seconds   = var.triton.exit_timeout_seconds + 10

  volumes = var.triton.enabled ? ["models", "consumer-tmp", "triton-tmp"] : ["consumer-tmp"]
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
# Service
################################################################################

module "service" {
  source = "../ecs_service"

  name       = var.name
  partition  = var.partition
  region     = var.region
  account_id = var.account_id

  compute = {
    cpu                   = var.compute.cpu
    memory_mib            = var.compute.memory_mib
    architecture          = var.compute.architecture
    ephemeral_storage_gib = var.compute.ephemeral_storage_gib
  }
  containers     = local.containers
  volumes        = local.volumes
  keep_revisions = var.keep_revisions

  cluster_arn        = var.cluster_arn
  initial_count      = var.initial_count
  fargate            = !local.on_gpu
  capacity_providers = var.capacity_providers
  deployment         = var.deployment
  network            = var.network
  # To rebalance zones, ECS would stop tasks that are idle at that moment, and their loaded models would be lost.
  rebalance_zones = false

  task_policy_arns = var.task_policy_arns
  repository_arns  = var.repository_arns
  # The container `volumes` has nothing to say that needs a group of its own.
  log_groups         = merge({ volumes = "consumer", consumer = "consumer" }, var.triton.enabled ? { triton = "triton" } : {})
  log_retention_days = var.log_retention_days
  kms_key_arn        = var.kms_key_arn
  tags               = var.tags
}
