"""Put load on labels and see what comes of it: `python example/put_load.py --labels red green --jobs 1000`."""

from __future__ import annotations

import argparse
import time
from collections import Counter

from inference_engine import Producer


def main() -> int:
    """Post all jobs at once, collect all results, print how long that took; 1 unless all succeeded."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--labels", nargs="+", default=["red", "green"])
    parser.add_argument("--jobs", type=int, default=1000, help="in all")
    arguments = parser.parse_args()
    with Producer(timeout_seconds=600) as producer:
        started = time.monotonic()
        message_ids: list[str] = []
        for place, label in enumerate(arguments.labels):
            numbers = range(place, arguments.jobs, len(arguments.labels))
            message_ids += producer.post_many(({"number": number} for number in numbers), label=label)
        posted = time.monotonic()
        statuses = Counter(response.status.value for response in producer.as_completed(message_ids))
        ended = time.monotonic()
    print(f"posted {len(message_ids)} jobs in {posted - started:.2f} s, all ended after {ended - started:.2f} s")
    print(f"{len(message_ids) / (ended - started):.0f} jobs/s:", dict(statuses))
    return 0 if statuses["SUCCESS"] == len(message_ids) else 1


if __name__ == "__main__":
    raise SystemExit(main())
