mock_provider "aws" {
  source = "../mocks"
}

variables {
  environment                 = "prod"
  vpc_id                      = "vpc-0123456789abcdef0"
  subnet_ids                  = ["subnet-0a"]
  endpoint_security_group_ids = ["sg-0a"]
  prefix_list_ids             = { s3 = "pl-0a", dynamodb = "pl-0b" }
  lambda_zips_dir             = "../mocks/zips"
  message_max_bytes           = 262144
}

run "all_names_follow_from_the_environment" {
  assert {
    condition     = output.queues.placement["0"].name == "inference-engine-prod-placement.fifo"
    error_message = "One cell has one placement queue, without a number."
  }

  assert {
    condition     = output.queues.dead_letters.name == "inference-engine-prod-dead-letters.fifo"
    error_message = "The dead-letter queue has another name than the library gives it."
  }

  assert {
    condition     = output.tables.jobs.name == "inference-engine-prod-jobs" && output.tables.registry.name == "inference-engine-prod-registry"
    error_message = "Tables have other names than the library gives them."
  }

  assert {
    condition = output.buckets == {
      payloads = "inference-engine-prod-payloads-123456789012"
      models   = "inference-engine-prod-models-123456789012"
    }
    error_message = "Buckets are named after prefix and account."
  }

  assert {
    condition = output.functions == {
      backlog_metrics = "inference-engine-prod-backlog-metrics"
      dead_letters    = "inference-engine-prod-dead-letters"
    }
    error_message = "Functions have other names."
  }

  assert {
    condition     = output.cluster_name == "inference-engine-prod" && output.service_names == { "0" = "inference-engine-prod-consumer" }
    error_message = "Cluster or service have other names."
  }

  assert {
    condition     = keys(output.policy_arns) == ["backlog-metrics", "consumer", "dead-letters", "gateway", "operator", "producer"]
    error_message = "There is a policy for each role."
  }
}

run "clients_find_what_they_need" {
  assert {
    condition = output.settings == {
      prefix                     = "inference-engine-prod"
      jobs_table                 = "inference-engine-prod-jobs"
      registry_table             = "inference-engine-prod-registry"
      bucket                     = "inference-engine-prod-payloads-123456789012"
      cells                      = "1"
      auto_create_queues         = "true"
      visibility_timeout_seconds = "30"
      wait_time_seconds          = "20"
      max_receive_count          = "10"
      body_inline_max_bytes      = "98304"
    }
    error_message = "Settings differ from what was deployed."
  }

  assert {
    condition = toset(keys(module.parameters.names)) == toset(concat(
      [for name in keys(output.settings) : "settings/${name}"],
      ["region", "models_bucket", "ecs_cluster", "ecs_service", "consumer_repository_url", "backlog_metrics_function", "dead_letters_function"],
    ))
    error_message = "SSM parameters are the settings and the names of the rest."
  }

  assert {
    condition     = module.parameters.names["settings/jobs_table"] == "/inference-engine/prod/settings/jobs_table"
    error_message = "Parameters lie below /inference-engine/ENVIRONMENT."
  }
}

run "a_prefix_of_ones_own" {
  variables {
    prefix = "Team_A"
    labels = ["resnet50"]
  }

  assert {
    condition     = output.queues.labels["resnet50"].name == "Team_A-resnet50.fifo" && output.tables.jobs.name == "Team_A-jobs"
    error_message = "Queues and tables begin with the prefix as it is."
  }

  assert {
    condition     = output.buckets.payloads == "team-a-payloads-123456789012"
    error_message = "Buckets take no capitals and no '_'."
  }

  assert {
    condition     = output.parameter_path == "/inference-engine/prod"
    error_message = "Clients look by environment, whatever the prefix."
  }
}

run "each_cell_has_its_queue_and_its_service" {
  variables {
    cells   = 3
    scaling = { min_capacity = 1 }
  }

  assert {
    condition = values(output.queues.placement)[*].name == [
      "inference-engine-prod-placement--0.fifo", "inference-engine-prod-placement--1.fifo", "inference-engine-prod-placement--2.fifo",
    ]
    error_message = "Several cells have numbered placement queues."
  }

  assert {
    condition     = output.service_names["2"] == "inference-engine-prod-consumer-2"
    error_message = "Several cells have numbered services."
  }

  assert {
    condition = [
      for cell in ["0", "1", "2"] :
      one([for variable in output.containers[cell].consumer.environment : variable.value if variable.name == "INFERENCE_ENGINE_CELL"])
    ] == ["0", "1", "2"]
    error_message = "A cell's consumers know their cell."
  }
}
