"""Makes model folders that Triton serves."""
