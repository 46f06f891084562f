output "jobs" {
  description = "The table of job records: name and arn."
  value       = { name = aws_dynamodb_table.jobs.name, arn = aws_dynamodb_table.jobs.arn }
}

output "registry" {
  description = "The table of consumers and labels: name and arn."
  value       = { name = aws_dynamodb_table.registry.name, arn = aws_dynamodb_table.registry.arn }
}
