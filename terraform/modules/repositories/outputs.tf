output "urls" {
  description = "URLs of the repositories by what they hold; an image is URL:TAG."
  value       = { for key, repository in aws_ecr_repository.this : key => repository.repository_url }
}

output "arns" {
  description = "ARNs of the repositories by what they hold."
  value       = { for key, repository in aws_ecr_repository.this : key => repository.arn }
}
