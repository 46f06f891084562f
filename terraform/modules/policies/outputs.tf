output "arns" {
  description = "ARNs of the policies by role: producer, gateway, consumer, operator, backlog-metrics, dead-letters, and webhooks if enabled."
  value       = { for role, policy in aws_iam_policy.this : role => policy.arn }
}

output "json" {
  description = "The policies' documents by role, for roles that are created elsewhere."
  value       = local.documents
}
