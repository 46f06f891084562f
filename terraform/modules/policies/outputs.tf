output "arns" {
  description = "ARNs of the policies by role: producer, consumer, operator, backlog-metrics, dead-letters."
  value       = { for role, policy in aws_iam_policy.this : role => policy.arn }
}

output "json" {
  description = "The policies' documents by role, for roles that are made elsewhere."
  value       = local.documents
}
