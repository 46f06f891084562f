"""How long tests look for examples that break a rule."""

import os

#: Set to 1 by `make acceptance`.
THOROUGH = os.environ.get("TESTS_THOROUGH") == "1"


def examples(count: int) -> int:
    """How many examples a test makes up: `count` in `make acceptance`, and a quarter of them, others each time, elsewhere."""
    return count if THOROUGH else max(count // 4, 1)
