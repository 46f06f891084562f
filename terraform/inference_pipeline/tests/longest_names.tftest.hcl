# All that may be switched on, with the longest names: the project's tests hold what is rendered here against AWS's rules for names,
# descriptions and tags, which neither the provider nor an emulator knows.

mock_provider "aws" {
  source = "../mocks"
}

variables {
  environment                 = "a1234567890123456789"
  prefix                      = "Team_A__of-the--longest-prefix-there-is-"
  labels                      = ["all-minilm-l6-v2"]
  vpc_id                      = "vpc-0123456789abcdef0"
  subnet_ids                  = ["subnet-0a", "subnet-0b"]
  endpoint_security_group_ids = ["sg-0a"]
  prefix_list_ids             = { s3 = "pl-0a", dynamodb = "pl-0b" }
  egress_cidr_blocks          = ["0.0.0.0/0"]
  lambda_zips_dir             = "../mocks/zips"
  message_max_bytes           = 262144
  webhooks                    = { enabled = true }
  gateway = {
    enabled             = true
    certificate_arn     = "arn:aws:acm:eu-central-1:123456789012:certificate/0a"
    allowed_cidr_blocks = ["10.0.0.0/8"]
    requests_per_minute = 600
  }
}

run "one_cell" {
  variables {
    scaling = { schedules = { night = { schedule = "cron(0 22 ? * * *)", min_capacity = 0, max_capacity = 1 } } }
  }

  assert {
    condition     = length(output.prefix) == 40 && output.buckets.payloads == "team-a-of-the-longest-prefix-there-is-payloads-123456789012"
    error_message = "Buckets and repositories take no capitals, no '_', and no '-' after another."
  }
}

run "several_cells" {
  variables {
    cells   = 10
    scaling = { min_capacity = 1 }
  }

  assert {
    condition     = output.service_names["9"] == "Team_A__of-the--longest-prefix-there-is--consumer-9"
    error_message = "Other names begin with the prefix as it is."
  }
}
