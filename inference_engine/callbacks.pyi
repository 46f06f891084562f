from .webhooks import verify as verify
