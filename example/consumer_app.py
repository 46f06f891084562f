"""A consumer with a function of one's own: `python example/consumer_app.py`.

Each label stands for a model of its own; here "loading" one only builds a table. Ctrl-C drains and ends it.
"""

from __future__ import annotations

import time
from typing import Any

from inference_engine import Consumer, UnretryableError, logs
from inference_engine.backends import FunctionBackend

#: What stands for models in memory, by label.
models: dict[str, dict[str, int]] = {}


def load(label: str) -> int:
    """Bring a label's model into memory and say how many bytes it takes."""
    time.sleep(0.5)
    models[label] = {word: len(word) for word in label.split("-")}
    return 1024 * len(models[label])


def unload(label: str) -> None:
    """Give its memory back."""
    models.pop(label, None)


def compute(body: Any, message_id: str, label: str) -> Any:
    """One job: anything that JSON or numpy can carry comes in and goes out."""
    if not isinstance(body, dict) or "number" not in body:
        # Not worth a second try: the caller gets this text at once.
        raise UnretryableError(f"the body needs a 'number', got {body!r}")
    return {"answer": body["number"] + sum(models[label].values()), "label": label}


if __name__ == "__main__":
    logs.configure("text")
    backend = FunctionBackend(compute, load=load, unload=unload, threads=4)
    Consumer(backend=backend, max_labels=2, http_port=8080).run()
