output "dead_letters" {
  description = "The dead-letter queue: name, arn and url."
  value = {
    name = aws_sqs_queue.dead_letters.name
    arn  = aws_sqs_queue.dead_letters.arn
    url  = aws_sqs_queue.dead_letters.url
  }
}

output "placement" {
  description = "Placement queues by cell: name, arn and url."
  value = {
    for cell, queue in aws_sqs_queue.placement : cell => { name = queue.name, arn = queue.arn, url = queue.url }
  }
}

output "labels" {
  description = "Queues of the labels declared in advance, by label: name, arn and url."
  value       = { for label, queue in aws_sqs_queue.label : label => { name = queue.name, arn = queue.arn, url = queue.url } }
}
