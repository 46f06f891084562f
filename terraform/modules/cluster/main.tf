resource "aws_ecs_cluster" "this" {
  name = var.name

  setting {
    name  = "containerInsights"
    value = "enabled"
  }

  tags = var.tags
}

resource "aws_ecs_cluster_capacity_providers" "this" {
  cluster_name = aws_ecs_cluster.this.name
  # Fargate's providers stay even with instances: ECS does not remove a provider that a service still uses, and Terraform
  # changes the cluster before the service.
  capacity_providers = concat(["FARGATE", "FARGATE_SPOT"], var.gpu_capacity_provider == null ? [] : [var.gpu_capacity_provider])
}
