"""HTTP itself: what a request meets before and after its API."""
