output "arn" {
  description = "ARN of the load balancer."
  value       = aws_lb.this.arn
}

output "dns_name" {
  description = "DNS name of the load balancer, for a record in your own domain to point to."
  value       = aws_lb.this.dns_name
}

output "zone_id" {
  description = "Hosted zone of the load balancer, for an alias record."
  value       = aws_lb.this.zone_id
}

output "url" {
  description = "URL with the load balancer's own name; with TLS, callers use the certificate's name instead."
  value       = "${local.secure ? "https" : "http"}://${aws_lb.this.dns_name}"
}

output "target_group_arn" {
  description = "ARN of the target group, available once a listener forwards to it: ECS rejects a target group that no load balancer uses."
  value       = aws_lb_target_group.this.arn
  depends_on  = [aws_lb_listener.requests]
}

output "metric_dimensions" {
  description = "Values of the CloudWatch dimensions LoadBalancer and TargetGroup."
  value       = { load_balancer = aws_lb.this.arn_suffix, target_group = aws_lb_target_group.this.arn_suffix }
}

output "security_group_id" {
  description = "Security group of the load balancer."
  value       = aws_security_group.this.id
}
