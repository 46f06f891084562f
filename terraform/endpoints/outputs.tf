output "vpc_id" {
  description = "The VPC."
  value       = var.vpc_id
}

output "subnet_ids" {
  description = "The private subnets, for the tasks of environments."
  value       = var.subnet_ids
}

output "vpc_endpoints" {
  description = "Ids of the endpoints by service, for example sqs."
  value       = { for service, endpoint in merge(aws_vpc_endpoint.interface, aws_vpc_endpoint.gateway) : service => endpoint.id }
}

output "security_group_id" {
  description = "Security group of the interface endpoints; environments allow their tasks to reach it."
  value       = aws_security_group.this.id
}

output "prefix_list_ids" {
  description = "Prefix lists of the gateway endpoints by service (s3, dynamodb); environments allow their tasks to reach them."
  value       = { for service, endpoint in aws_vpc_endpoint.gateway : service => endpoint.prefix_list_id }
}
