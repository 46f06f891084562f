output "function_name" {
  description = "Name of the function."
  value       = module.function.name
}

output "queue" {
  description = "The queue of deliveries: name, arn and url."
  value = {
    name = aws_sqs_queue.deliveries.name
    arn  = aws_sqs_queue.deliveries.arn
    url  = aws_sqs_queue.deliveries.url
  }
}

output "dead_queue" {
  description = "The queue of deliveries that were given up: name, arn and url."
  value = {
    name = aws_sqs_queue.dead.name
    arn  = aws_sqs_queue.dead.arn
    url  = aws_sqs_queue.dead.url
  }
}

output "secret_parameter" {
  description = "Name of the SecureString in SSM that requests are signed with; `inference-engine webhooks secret` creates it."
  value       = local.secret_parameter
}
