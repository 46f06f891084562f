"""The APIs that the gateway serves, a module each."""
