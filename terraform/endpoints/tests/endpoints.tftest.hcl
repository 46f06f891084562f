mock_provider "aws" {
  source = "../mocks"
}

variables {
  vpc_id          = "vpc-0123456789abcdef0"
  subnet_ids      = ["subnet-0a", "subnet-0b"]
  route_table_ids = ["rtb-0a"]
}

run "the_services_that_tasks_call" {
  assert {
    condition     = toset(keys(aws_vpc_endpoint.interface)) == toset(["sqs", "ecr.api", "ecr.dkr", "logs", "monitoring"])
    error_message = "Without options there are interface endpoints for SQS, ECR, Logs and monitoring only."
  }

  assert {
    condition = alltrue([
      for endpoint in aws_vpc_endpoint.interface :
      endpoint.private_dns_enabled && endpoint.vpc_endpoint_type == "Interface" && toset(endpoint.subnet_ids) == toset(["subnet-0a", "subnet-0b"])
    ])
    error_message = "Each interface endpoint answers under the service's own name in all subnets."
  }

  assert {
    condition     = aws_vpc_endpoint.interface["ecr.dkr"].service_name == "com.amazonaws.eu-central-1.ecr.dkr"
    error_message = "Services are those of the provider's Region."
  }

  assert {
    condition = alltrue([
      for service in ["s3", "dynamodb"] :
      aws_vpc_endpoint.gateway[service].vpc_endpoint_type == "Gateway" && tolist(aws_vpc_endpoint.gateway[service].route_table_ids) == tolist(["rtb-0a"])
    ])
    error_message = "S3 and DynamoDB are gateways, which cost nothing, with a route in the route tables."
  }

  assert {
    condition     = keys(output.prefix_list_ids) == ["dynamodb", "s3"] && length(output.vpc_endpoints) == 7
    error_message = "Outputs name all endpoints, and the prefix lists of the gateways."
  }
}

run "only_https_from_the_vpc_comes_in" {
  assert {
    condition = alltrue([
      for rule in [aws_vpc_security_group_ingress_rule.vpc] :
      rule.cidr_ipv4 == "10.20.0.0/16" && rule.from_port == 443 && rule.to_port == 443 && rule.ip_protocol == "tcp"
    ])
    error_message = "The endpoints take HTTPS from the VPC's own addresses."
  }

  assert {
    condition     = length(aws_vpc_security_group_ingress_rule.other) == 0
    error_message = "Nobody else is let in unasked."
  }
}

run "options_add_services" {
  variables {
    ssm               = true
    ecs               = true
    other_cidr_blocks = ["10.1.0.0/16"]
  }

  assert {
    condition     = length(setintersection(keys(aws_vpc_endpoint.interface), ["ssm", "ecs", "ecs-agent", "ecs-telemetry"])) == 4
    error_message = "ssm and ecs bring their endpoints."
  }

  assert {
    condition     = aws_vpc_security_group_ingress_rule.other["10.1.0.0/16"].cidr_ipv4 == "10.1.0.0/16"
    error_message = "other_cidr_blocks are let in."
  }
}

run "addresses_of_ipv6_are_refused" {
  command = plan

  variables {
    other_cidr_blocks = ["fd00::/8"]
  }

  expect_failures = [var.other_cidr_blocks]
}

run "wrong_ids_are_refused" {
  command = plan

  variables {
    vpc_id            = "10.0.0.0/16"
    subnet_ids        = []
    route_table_ids   = ["subnet-0a"]
    other_cidr_blocks = ["everyone"]
    name              = "sg-mine"
  }

  expect_failures = [var.vpc_id, var.subnet_ids, var.route_table_ids, var.other_cidr_blocks, var.name]
}
