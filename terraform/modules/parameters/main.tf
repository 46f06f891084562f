resource "aws_ssm_parameter" "this" {
  #checkov:skip=CKV_AWS_337:Names and numbers that every client reads, no secrets
  #checkov:skip=CKV2_AWS_34:Names and numbers that every client reads, no secrets
  for_each = var.values

  name  = "${var.path}/${each.key}"
  type  = "String"
  value = each.value

  tags = var.tags
}
