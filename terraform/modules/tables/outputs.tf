output "jobs" {
  description = "The table of job records: name, arn, and stream_arn of its stream of changes."
  value = {
    name       = aws_dynamodb_table.jobs.name
    arn        = aws_dynamodb_table.jobs.arn
    stream_arn = aws_dynamodb_table.jobs.stream_arn
  }
}

output "registry" {
  description = "The table of consumers and labels: name and arn."
  value       = { name = aws_dynamodb_table.registry.name, arn = aws_dynamodb_table.registry.arn }
}
