# Addresses of 0.1.0, where this module had these resources itself.

moved {
  from = aws_ecs_task_definition.this
  to   = module.service.aws_ecs_task_definition.this
}

moved {
  from = aws_cloudwatch_log_group.this
  to   = module.service.aws_cloudwatch_log_group.this["gateway"]
}

moved {
  from = aws_iam_role.task
  to   = module.service.aws_iam_role.task
}

moved {
  from = aws_iam_role_policy_attachment.task
  to   = module.service.aws_iam_role_policy_attachment.task["gateway"]
}

moved {
  from = aws_iam_role.execution
  to   = module.service.aws_iam_role.execution
}

moved {
  from = aws_iam_policy.execution
  to   = module.service.aws_iam_policy.execution
}

moved {
  from = aws_iam_role_policy_attachment.execution
  to   = module.service.aws_iam_role_policy_attachment.execution
}

moved {
  from = aws_security_group.this
  to   = module.service.aws_security_group.this
}

moved {
  from = aws_vpc_security_group_egress_rule.endpoints
  to   = module.service.aws_vpc_security_group_egress_rule.endpoints
}

moved {
  from = aws_vpc_security_group_egress_rule.gateways
  to   = module.service.aws_vpc_security_group_egress_rule.gateways
}

moved {
  from = aws_vpc_security_group_egress_rule.other
  to   = module.service.aws_vpc_security_group_egress_rule.other
}

moved {
  from = aws_ecs_service.this
  to   = module.service.aws_ecs_service.this
}
