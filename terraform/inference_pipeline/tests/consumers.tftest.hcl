# What a task is, and where it runs.

mock_provider "aws" {
  source = "../mocks"
}

variables {
  environment                 = "prod"
  vpc_id                      = "vpc-0123456789abcdef0"
  subnet_ids                  = ["subnet-0a", "subnet-0b"]
  endpoint_security_group_ids = ["sg-0a"]
  prefix_list_ids             = { s3 = "pl-0a", dynamodb = "pl-0b" }
  lambda_zips_dir             = "../mocks/zips"
  message_max_bytes           = 262144

  # Of runs that have the module of one service.
  name        = "prod-consumer"
  partition   = "aws"
  region      = "eu-central-1"
  account_id  = "123456789012"
  cluster_arn = "arn:aws:ecs:eu-central-1:123456789012:cluster/prod"
  network = {
    vpc_id                      = "vpc-0123456789abcdef0"
    subnet_ids                  = ["subnet-0a"]
    endpoint_security_group_ids = ["sg-0a"]
    prefix_list_ids             = { s3 = "pl-0a", dynamodb = "pl-0b" }
    egress_cidr_blocks          = []
  }
  deployment      = { minimum_healthy_percent = 100, maximum_percent = 200 }
  repository_arns = ["arn:aws:ecr:eu-central-1:123456789012:repository/consumer"]
}

run "a_consumer_beside_triton" {
  assert {
    condition     = keys(output.containers["0"]) == ["consumer", "triton", "volumes"]
    error_message = "A task is the consumer, Triton, and what prepares their volumes."
  }

  assert {
    condition = toset([for dependency in output.containers["0"].consumer.dependsOn : "${dependency.containerName} ${dependency.condition}"]) == toset([
      "triton HEALTHY", "volumes SUCCESS",
    ])
    error_message = "The consumer starts once Triton is healthy, and so stops before it."
  }

  assert {
    condition     = output.containers["0"].consumer.essential && output.containers["0"].triton.essential && !output.containers["0"].volumes.essential
    error_message = "A task lives as long as both of its containers."
  }

  assert {
    condition     = output.containers["0"].consumer.stopTimeout == 120 && output.containers["0"].triton.stopTimeout == 30
    error_message = "The consumer has time to drain, and Triton more than its own exit timeout."
  }

  assert {
    condition     = alltrue([for container in values(output.containers["0"]) : container.readonlyRootFilesystem])
    error_message = "All root file systems are read-only."
  }

  assert {
    condition     = output.containers["0"].consumer.user == "10001" && output.containers["0"].triton.user == "1000"
    error_message = "Neither container runs as root."
  }

  assert {
    condition = join(" ", output.containers["0"].consumer.command) == join(" ", [
      "--triton", "127.0.0.1:8001", "--model-store", "s3://inference-engine-prod-models-123456789012",
      "--model-repository", "/models", "--max-labels", "4",
    ])
    error_message = "The consumer takes models from the bucket into the volume that Triton reads."
  }

  assert {
    condition = alltrue([
      for option in ["--model-repository=/models", "--model-control-mode=explicit", "--strict-readiness=false", "--exit-timeout-secs=20"] :
      contains(output.containers["0"].triton.command, option)
    ])
    error_message = "Triton loads only what the consumer asks for."
  }

  assert {
    condition = (
      one([for mount in output.containers["0"].triton.mountPoints : mount.readOnly if mount.containerPath == "/models"])
      && !one([for mount in output.containers["0"].consumer.mountPoints : mount.readOnly if mount.containerPath == "/models"])
    )
    error_message = "The consumer writes models, Triton reads them."
  }

  assert {
    condition = {
      for variable in output.containers["0"].consumer.environment : variable.name => variable.value
      } == merge(
      { for name, value in output.settings : "INFERENCE_ENGINE_${upper(name)}" => value },
      {
        AWS_REGION                     = "eu-central-1"
        INFERENCE_ENGINE_CELL          = "0"
        INFERENCE_ENGINE_DRAIN_SECONDS = "90"
      },
    )
    error_message = "The consumer has the settings that clients have, and its own."
  }

  assert {
    condition     = one([for variable in output.containers["0"].consumer.environment : tonumber(variable.value) if endswith(variable.name, "DRAIN_SECONDS")]) < output.containers["0"].consumer.stopTimeout
    error_message = "The drain ends before ECS kills the container."
  }
}

run "a_budget_instead_of_a_number_of_labels" {
  command = plan

  variables {
    consumer = {
      models_prefix = "/triton/"
      memory_budget = "12GiB"
      model_disk    = "40GiB"
      environment   = { LOG_COLOR = "no" }
    }
  }

  assert {
    condition     = one([for variable in output.containers["0"].consumer.environment : variable.value if variable.name == "LOG_COLOR"]) == "no"
    error_message = "Variables of one's own are passed on."
  }

  assert {
    condition     = !contains(output.containers["0"].consumer.command, "--max-labels") && contains(output.containers["0"].consumer.command, "12GiB")
    error_message = "A memory budget takes the place of the number of labels."
  }
}

run "a_function_without_triton" {
  variables {
    triton = { enabled = false }
    consumer = {
      image   = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/my-app:7"
      command = ["--function", "my_app:compute"]
    }
  }

  assert {
    condition     = keys(output.containers["0"]) == ["consumer", "volumes"]
    error_message = "There is no Triton."
  }

  assert {
    condition     = output.containers["0"].consumer.dependsOn[*].containerName == ["volumes"] && output.containers["0"].consumer.mountPoints[*].containerPath == ["/tmp"]
    error_message = "The consumer waits for no Triton and shares no models."
  }

  assert {
    condition     = output.containers["0"].consumer.image == "123456789012.dkr.ecr.eu-central-1.amazonaws.com/my-app:7" && join(" ", output.containers["0"].consumer.command) == "--function my_app:compute"
    error_message = "Image and command are one's own."
  }
}

run "a_task_on_fargate" {
  module {
    source = "../modules/consumer"
  }

  variables {
    compute  = { cpu = 2048, memory_mib = 8192, architecture = "ARM64", ephemeral_storage_gib = 50, gpus = 0 }
    consumer = { image = "consumer:1", command = ["--triton", "127.0.0.1:8001"], user = "10001" }
    triton = {
      enabled = true, image = "triton:1", user = null, exit_timeout_seconds = 20, arguments = [], shared_memory_mib = 1024
    }
    environment        = {}
    initial_count      = 0
    capacity_providers = [{ name = "FARGATE", base = 0, weight = 1 }]
    task_policy_arns   = { consumer = "arn:aws:iam::123456789012:policy/consumer" }
  }

  assert {
    condition     = tolist(module.service.task_definition.requires_compatibilities) == tolist(["FARGATE"]) && module.service.task_definition.network_mode == "awsvpc"
    error_message = "The task needs Fargate."
  }

  assert {
    condition     = module.service.task_definition.ephemeral_storage[0].size_in_gib == 50 && module.service.task_definition.runtime_platform[0].cpu_architecture == "ARM64"
    error_message = "Disk and architecture are as asked for."
  }

  assert {
    condition     = module.service.service.platform_version == "LATEST" && module.service.service.availability_zone_rebalancing == "DISABLED"
    error_message = "The platform is Fargate's; ECS would stop idle consumers, and their models with them, to even out zones."
  }

  assert {
    condition     = toset(module.service.task_definition.volume[*].name) == toset(["models", "consumer-tmp", "triton-tmp"])
    error_message = "What containers write lies on volumes."
  }

  assert {
    condition     = !can(output.containers["triton"].resourceRequirements) && !can(output.containers["triton"].linuxParameters) && !can(output.containers["triton"].user)
    error_message = "Fargate has no GPUs and a fixed shared memory; a null user is the image's own."
  }

  assert {
    condition = { for name, container in output.containers : name => container.logConfiguration.options["awslogs-group"] } == {
      consumer = "/inference-engine/prod-consumer/consumer"
      triton   = "/inference-engine/prod-consumer/triton"
      volumes  = "/inference-engine/prod-consumer/consumer"
    }
    error_message = "Each container writes to its own log group, and the one that prepares volumes to the consumer's."
  }

  assert {
    condition     = toset(values(output.log_groups)) == toset(["/inference-engine/prod-consumer/consumer", "/inference-engine/prod-consumer/triton"])
    error_message = "Each container has a log group."
  }
}

run "a_task_on_a_gpu" {
  module {
    source = "../modules/consumer"
  }

  variables {
    compute  = { cpu = 4096, memory_mib = 15000, architecture = "X86_64", ephemeral_storage_gib = 50, gpus = 2 }
    consumer = { image = "consumer:1", command = ["--triton", "127.0.0.1:8001"], user = "10001" }
    triton = {
      enabled = true, image = "triton:1", user = "1000", exit_timeout_seconds = 20, arguments = [], shared_memory_mib = 2048
    }
    environment        = {}
    initial_count      = 0
    capacity_providers = [{ name = "gpus", base = 0, weight = 1 }]
    task_policy_arns   = {}
  }

  assert {
    condition     = tolist(module.service.task_definition.requires_compatibilities) == tolist(["EC2"]) && length(module.service.task_definition.ephemeral_storage) == 0
    error_message = "GPUs are on instances, which bring their own disk."
  }

  assert {
    condition     = output.capacity_providers == { gpus = { base = 0, weight = 1 } }
    error_message = "The instances are those of the capacity provider."
  }

  assert {
    condition     = output.containers["triton"].resourceRequirements == [{ type = "GPU", value = "2" }] && !can(output.containers["consumer"].resourceRequirements)
    error_message = "Triton has the GPUs."
  }

  assert {
    condition     = output.containers["triton"].linuxParameters.sharedMemorySize == 2048
    error_message = "Instances give the shared memory that was asked for."
  }
}

run "a_fleet_on_gpus_uses_no_fargate" {
  variables {
    compute = { gpu_capacity_provider = "gpus", cpu = 4096, memory_mib = 15000, minimum_healthy_percent = 0, maximum_percent = 100 }
  }

  assert {
    condition     = toset(module.cluster.capacity_providers) == toset(["FARGATE", "FARGATE_SPOT", "gpus"])
    error_message = "The cluster has the provider of GPU instances beside those that another choice would use."
  }

  assert {
    condition     = module.consumer["0"].capacity_providers == { gpus = { base = 0, weight = 1 } }
    error_message = "The service has only the provider of GPU instances."
  }

  assert {
    condition     = output.containers["0"].triton.resourceRequirements == [{ type = "GPU", value = "1" }]
    error_message = "Triton has a GPU."
  }
}

run "a_cluster_without_gpus" {
  module {
    source = "../modules/cluster"
  }

  variables {
    name = "prod"
  }

  assert {
    condition     = toset(output.capacity_providers) == toset(["FARGATE", "FARGATE_SPOT"])
    error_message = "The cluster has Fargate and Spot."
  }
}

run "a_fleet_on_fargate_and_spot" {
  variables {
    compute = { fargate_base = 2, fargate_weight = 0, fargate_spot_weight = 1 }
  }

  assert {
    condition = module.consumer["0"].capacity_providers == {
      FARGATE      = { base = 2, weight = 0 }
      FARGATE_SPOT = { base = 0, weight = 1 }
    }
    error_message = "Two tasks are safe from interruptions, and all others are Spot."
  }
}
