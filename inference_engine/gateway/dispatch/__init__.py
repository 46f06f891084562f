"""From an HTTP call to a job and back."""
