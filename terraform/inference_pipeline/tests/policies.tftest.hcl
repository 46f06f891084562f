# Rights. The documents are made by the real provider, which needs no AWS for that.

provider "aws" {
  region                      = "eu-central-1"
  access_key                  = "test"
  secret_key                  = "test"
  skip_credentials_validation = true
  skip_metadata_api_check     = true
  skip_region_validation      = true
  skip_requesting_account_id  = true
}

variables {
  prefix                = "prod"
  partition             = "aws"
  region                = "eu-central-1"
  account_id            = "123456789012"
  parameter_path        = "/inference-engine/prod"
  jobs_table_arn        = "arn:aws:dynamodb:eu-central-1:123456789012:table/prod-jobs"
  registry_table_arn    = "arn:aws:dynamodb:eu-central-1:123456789012:table/prod-registry"
  payloads_bucket_arn   = "arn:aws:s3:::prod-payloads-123456789012"
  models_bucket_arn     = "arn:aws:s3:::prod-models-123456789012"
  placement_queue_arns  = ["arn:aws:sqs:eu-central-1:123456789012:prod-placement.fifo"]
  dead_letter_queue_arn = "arn:aws:sqs:eu-central-1:123456789012:prod-dead-letters.fifo"
  cluster_name          = "prod"
  service_names         = ["prod-consumer"]
  metric_namespace      = "InferenceEngine"
  webhooks              = true
}

run "nobody_may_do_anything_everywhere" {
  command = plan

  module {
    source = "../modules/policies"
  }

  assert {
    condition = alltrue(flatten([
      for document in values(output.json) : [
        for statement in jsondecode(document).Statement : !anytrue([for action in flatten([statement.Action]) : strcontains(action, "*")])
      ]
    ]))
    error_message = "A policy allows actions by a wildcard."
  }

  assert {
    condition = toset(flatten([
      for document in values(output.json) : [
        for statement in jsondecode(document).Statement : statement.Action if statement.Effect == "Allow" && contains(flatten([statement.Resource]), "*")
      ]
    ])) == toset(["sqs:ListQueues", "cloudwatch:PutMetricData"])
    error_message = "Only ListQueues and PutMetricData have no resource level."
  }

  assert {
    condition = one([
      for statement in jsondecode(output.json["backlog-metrics"]).Statement : statement.Condition if statement.Sid == "Publish"
    ]) == { StringEquals = { "cloudwatch:namespace" = "InferenceEngine" } }
    error_message = "Metrics may be published to the deployment's namespace only."
  }

  assert {
    condition = alltrue(flatten([
      for document in values(output.json) : [
        for statement in jsondecode(document).Statement : [
          for resource in flatten([statement.Resource]) : strcontains(resource, "prod") || resource == "*"
        ]
      ]
    ]))
    error_message = "A policy reaches what is not the deployment's."
  }
}

run "a_producer_posts_and_reads" {
  command = plan

  module {
    source = "../modules/policies"
  }

  assert {
    condition = toset(flatten([for statement in jsondecode(output.json["producer"]).Statement : statement.Action if statement.Effect == "Allow"])) == toset([
      "sqs:SendMessage", "sqs:GetQueueUrl", "sqs:GetQueueAttributes", "sqs:CreateQueue",
      "dynamodb:PartiQLInsert", "dynamodb:PartiQLUpdate", "dynamodb:BatchGetItem",
      "dynamodb:Query", "dynamodb:GetItem", "dynamodb:UpdateItem",
      "s3:PutObject", "s3:GetObject", "ssm:GetParametersByPath",
    ])
    error_message = "A producer may do more or less than it does."
  }

  assert {
    condition = one([
      for statement in jsondecode(output.json["producer"]).Statement : statement.Condition if statement.Sid == "AnnounceWaiting"
    ]) == { "ForAllValues:StringEquals" = { "dynamodb:LeadingKeys" = "waiting" } }
    error_message = "In the registry a producer writes to one partition only."
  }

  assert {
    condition = [
      for statement in jsondecode(output.json["producer"]).Statement : "${join(" ", flatten([statement.Action]))} ${statement.Resource}"
      if statement.Effect == "Deny" && statement.Sid != "NoApiKeys"
    ] == ["sqs:SendMessage arn:aws:sqs:eu-central-1:123456789012:prod-dead-letters.fifo", "kms:Decrypt *"]
    error_message = "A producer could send dead letters, and so end the jobs of others, or read the webhooks' secret."
  }

  assert {
    condition = one([
      for statement in jsondecode(output.json["producer"]).Statement : statement.Condition if statement.Sid == "NoWebhookSecret"
    ]) == { StringEquals = { "kms:EncryptionContext:PARAMETER_ARN" = "arn:aws:ssm:eu-central-1:123456789012:parameter/inference-engine/prod/webhooks/secret" } }
    error_message = "What a producer may not decrypt is the webhooks' secret alone."
  }
}

run "api_keys_are_for_the_gateway_to_read_and_for_operators_to_make" {
  command = plan

  module {
    source = "../modules/policies"
  }

  assert {
    condition = {
      for role, document in output.json : role => toset(flatten([
        for statement in jsondecode(document).Statement : statement.Action
        if statement.Effect == "Deny" && statement.Resource == "arn:aws:dynamodb:eu-central-1:123456789012:table/prod-registry"
        && try(statement.Condition, null) == { "ForAnyValue:StringEquals" = { "dynamodb:LeadingKeys" = "keys" } }
      ]))
      } == {
      for role, actions in {
        producer        = ["GetItem", "Query", "BatchGetItem", "PutItem", "UpdateItem", "DeleteItem"]
        gateway         = ["Query", "BatchGetItem", "PutItem", "UpdateItem", "DeleteItem"]
        consumer        = ["GetItem", "Query", "BatchGetItem", "PutItem", "UpdateItem", "DeleteItem"]
        operator        = []
        backlog-metrics = ["GetItem", "Query", "BatchGetItem", "PutItem", "UpdateItem", "DeleteItem"]
        dead-letters    = ["GetItem", "Query", "BatchGetItem", "PutItem", "UpdateItem", "DeleteItem"]
        webhooks        = []
      } : role => toset([for action in actions : "dynamodb:${action}"])
    }
    error_message = "Whoever writes to the partition of API keys makes itself a key; whoever reads it knows callers and their limits."
  }
}

run "without_auto_creation_only_operators_create_queues" {
  command = plan

  module {
    source = "../modules/policies"
  }

  variables {
    auto_create_queues = false
  }

  assert {
    condition     = [for role in sort(keys(output.json)) : role if strcontains(output.json[role], "sqs:CreateQueue")] == ["operator"]
    error_message = "Who creates queues must follow the setting."
  }
}

run "a_consumer_protects_tasks_of_its_cluster" {
  command = plan

  module {
    source = "../modules/policies"
  }

  assert {
    condition = one([
      for statement in jsondecode(output.json["consumer"]).Statement : statement.Resource if contains(flatten([statement.Action]), "ecs:UpdateTaskProtection")
    ]) == "arn:aws:ecs:eu-central-1:123456789012:task/prod/*"
    error_message = "A consumer protects tasks of its own cluster only."
  }

  assert {
    condition     = !strcontains(output.json["consumer"], "s3:DeleteObject") && !strcontains(output.json["consumer"], "ssm:")
    error_message = "A consumer deletes no objects and reads no parameters."
  }
}

run "the_dead_letters_function_sees_one_queue" {
  command = plan

  module {
    source = "../modules/policies"
  }

  assert {
    condition = toset(flatten([
      for statement in jsondecode(output.json["dead-letters"]).Statement : statement.Resource
      if anytrue([for action in flatten([statement.Action]) : startswith(action, "sqs:")])
    ])) == toset(["arn:aws:sqs:eu-central-1:123456789012:prod-dead-letters.fifo"])
    error_message = "The function takes messages of other queues."
  }
}

run "the_webhooks_function_sees_its_queue_its_stream_and_one_secret" {
  command = plan

  module {
    source = "../modules/policies"
  }

  assert {
    condition = toset(flatten([for statement in jsondecode(output.json["webhooks"]).Statement : statement.Resource])) == toset([
      "arn:aws:dynamodb:eu-central-1:123456789012:table/prod-jobs/stream/*",
      "arn:aws:sqs:eu-central-1:123456789012:prod-webhooks",
      "arn:aws:sqs:eu-central-1:123456789012:prod-webhooks-dead",
      "arn:aws:ssm:eu-central-1:123456789012:parameter/inference-engine/prod/webhooks/secret",
      "arn:aws:logs:eu-central-1:123456789012:log-group:/aws/lambda/prod-webhooks:*",
    ])
    error_message = "The function reaches jobs, queues or parameters of others."
  }

  assert {
    condition = [
      for role in sort(keys(output.json)) : role
      if anytrue([for statement in jsondecode(output.json[role]).Statement : contains(flatten([statement.Action]), "ssm:PutParameter")])
    ] == ["operator"]
    error_message = "Others than operators make the secret."
  }
}

run "a_key_of_ones_own_has_to_be_usable" {
  command = plan

  module {
    source = "../modules/policies"
  }

  variables {
    kms_key_arn = "arn:aws:kms:eu-central-1:123456789012:key/prod"
  }

  assert {
    condition = alltrue([
      for document in values(output.json) : anytrue([
        for statement in jsondecode(document).Statement : contains(flatten([statement.Action]), "kms:Decrypt") if statement.Effect == "Allow"
      ])
    ])
    error_message = "A role cannot use the key that its tables are encrypted with."
  }
}

run "ecs_may_pull_and_log_and_no_more" {
  command = plan

  module {
    source = "../modules/ecs_service"
  }

  variables {
    name          = "prod-app"
    compute       = { cpu = 2048, memory_mib = 8192, architecture = "X86_64" }
    containers    = [{ name = "app", image = "app:1" }, { name = "server", image = "server:1" }]
    cluster_arn   = "arn:aws:ecs:eu-central-1:123456789012:cluster/prod"
    initial_count = 0
    network = {
      vpc_id                      = "vpc-0123456789abcdef0"
      subnet_ids                  = ["subnet-0a"]
      endpoint_security_group_ids = ["sg-0a"]
      prefix_list_ids             = {}
      egress_cidr_blocks          = []
    }
    deployment       = { minimum_healthy_percent = 100, maximum_percent = 200 }
    rebalance_zones  = false
    task_policy_arns = {}
    repository_arns  = ["arn:aws:ecr:eu-central-1:123456789012:repository/prod-app"]
    log_groups       = { app = "app", server = "server" }
  }

  assert {
    condition = flatten([
      for statement in jsondecode(output.execution_policy_json).Statement : statement.Action if contains(flatten([statement.Resource]), "*")
    ]) == ["ecr:GetAuthorizationToken"]
    error_message = "Only GetAuthorizationToken has no resource level."
  }

  assert {
    condition = toset(flatten([
      for statement in jsondecode(output.execution_policy_json).Statement : statement.Resource if statement.Sid == "Log"
      ])) == toset([
      "arn:aws:logs:eu-central-1:123456789012:log-group:/inference-engine/prod-app/app:*",
      "arn:aws:logs:eu-central-1:123456789012:log-group:/inference-engine/prod-app/server:*",
    ])
    error_message = "ECS writes to the task's own log groups."
  }

  assert {
    condition = jsondecode(data.aws_iam_policy_document.assume.json).Statement[0].Condition == {
      StringEquals = { "aws:SourceAccount" = "123456789012" }
      ArnLike      = { "aws:SourceArn" = "arn:aws:ecs:eu-central-1:123456789012:*" }
    }
    error_message = "Another account's tasks could have the roles assumed."
  }
}
