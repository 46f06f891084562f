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
  # Fargate's too beside instances: ECS takes no provider from a cluster whose service still uses it, and Terraform changes
  # the cluster first.
  capacity_providers = concat(["FARGATE", "FARGATE_SPOT"], var.gpu_capacity_provider == null ? [] : [var.gpu_capacity_provider])
}
