"""Takes the pictures of docs/gateway/status-page.md, of the demo's models at work: python docs/_screenshots.py

Needs Chromium and what the development extra installs; takes two minutes.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
import threading
import time
import urllib.request
from pathlib import Path

DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS.parent))

from inference_engine import Producer, Settings  # noqa: E402 - found once the project is on the path
from inference_engine.local.stack import LocalStack  # noqa: E402
from inference_engine_demo import inputs, jobs, models  # noqa: E402
from tests.support.browser import browser_tab  # noqa: E402
from tests.support.gateway import running_gateway  # noqa: E402

#: So long the page watches before its picture is taken.
WATCH_SECONDS = 75.0
WIDTH, HEIGHT = 1280, 1640
#: Jobs that each label gets at once, in turn: a load that goes up and down.
BURSTS = (30, 80, 20, 140, 60)
PAUSE_SECONDS = 0.8


def post_bursts(stop: threading.Event) -> None:
    """Real inputs for the demo's models until told to stop, some labels more than others."""
    samples = {label: inputs.sample_inputs(label) for label in models.DEMO_LABELS[1:]}
    with Producer() as producer:
        for turn, burst in enumerate(itertools.cycle(BURSTS)):
            for place, (label, bodies) in enumerate(samples.items()):
                if (turn + place) % 3:
                    producer.post_many([bodies[number % len(bodies)] for number in range(burst // (place + 1))], label)
            if stop.wait(PAUSE_SECONDS):
                return


def call_gateway(url: str, stop: threading.Event) -> None:
    """Sentences to embed, one call after another."""
    for sentence in itertools.cycle(jobs.SENTENCES):
        task = {"task_type": "embed_texts", "label": inputs.EMBEDDING_LABEL}
        body = json.dumps(task | {"parameters_json": json.dumps({"texts": [sentence]})}).encode()
        request = urllib.request.Request(f"{url}/run-task", body, {"Content-Type": "application/json"})  # noqa: S310
        with urllib.request.urlopen(request) as answer:  # noqa: S310 - our own gateway
            answer.read()
        if stop.wait(0.05):
            return


async def take(url: str, message_id: str) -> None:
    """Watch the page, look a job up, and write a picture of it in light and in dark."""
    async with browser_tab() as tab:
        await tab.size(WIDTH, HEIGHT)
        await tab.open(f"{url}/ui")
        await tab.until(f"document.querySelectorAll('#labels tbody tr').length === {len(models.DEMO_LABELS)}")
        await asyncio.sleep(WATCH_SECONDS)
        await tab.type("#job-id", message_id)
        await tab.click("#job-form button")
        await tab.until("document.querySelector('#job dl').innerText.includes('SUCCESS')")
        await tab.value("document.activeElement.blur(); scrollTo(0, 0)")
        for scheme, name in (("light", "status-page.png"), ("dark", "status-page-dark.png")):
            await tab.colours(scheme)
            (DOCS / "gateway" / name).write_bytes(await tab.picture())


def main() -> None:
    """Run the stack, load it, and take the pictures."""
    stop = threading.Event()
    with (
        LocalStack(repository=models.model_repository(print), use_triton=False, progress=print),
        Producer() as producer,
    ):
        job = producer.post(inputs.sample_inputs("magika")[0], "magika")
        with running_gateway(Settings()) as url:
            loads = [
                threading.Thread(target=post_bursts, args=(stop,)),
                *(threading.Thread(target=call_gateway, args=(url, stop)) for _ in range(2)),
            ]
            for load in loads:
                load.start()
            try:
                time.sleep(5)
                asyncio.run(take(url, job.message_id))
            finally:
                stop.set()
                for load in loads:
                    load.join()


if __name__ == "__main__":
    main()
