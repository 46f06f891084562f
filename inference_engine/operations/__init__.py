"""What operators and autoscaling see: backlog, work by label, the overview."""
