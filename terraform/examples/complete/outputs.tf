output "endpoints" {
  description = "All outputs of the endpoints stack."
  value       = module.endpoints
}

output "inference_pipeline" {
  description = "All outputs of the inference_pipeline stack."
  value       = module.inference_pipeline
}
