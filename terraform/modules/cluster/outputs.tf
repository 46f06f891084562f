output "name" {
  description = "Name of the cluster, available once its capacity providers are attached."
  value       = aws_ecs_cluster.this.name
  depends_on  = [aws_ecs_cluster_capacity_providers.this]
}

output "arn" {
  description = "ARN of the cluster, available once its capacity providers are attached."
  value       = aws_ecs_cluster.this.arn
  depends_on  = [aws_ecs_cluster_capacity_providers.this]
}

output "capacity_providers" {
  description = "Capacity providers of the cluster."
  value       = aws_ecs_cluster_capacity_providers.this.capacity_providers
}
