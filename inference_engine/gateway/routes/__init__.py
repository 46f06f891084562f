"""The APIs that the gateway speaks, a module each."""
