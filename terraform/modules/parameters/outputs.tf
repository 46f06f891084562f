output "names" {
  description = "Full names of the parameters by their name below the path."
  value       = { for key, parameter in aws_ssm_parameter.this : key => parameter.name }
}
