"""Post one job and wait for its result: `python example/send_message.py LABEL '{"number": 4}'`."""

from __future__ import annotations

import json
import sys

from inference_engine import Producer


def main(label: str, body: str) -> int:
    """Post, wait, print; 1 if the job failed."""
    with Producer() as producer:
        message_id = producer.post_non_blocking(json.loads(body), label=label)
        print("message id:", message_id)
        response = producer.wait(message_id)
    print(response.status.value, response.result if response.ok else response.error)
    return 0 if response.ok else 1


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    sys.exit(main(*sys.argv[1:]))
