output "endpoints" {
  description = "All outputs of the endpoints stack."
  value       = module.endpoints
}

output "inference_pipeline" {
  description = "All outputs of the stack of the environment."
  value       = module.inference_pipeline
}
