"""The HTTP gateway: the APIs that callers of other languages speak, behind one flow control. Needs the `gateway` extra."""
