"""Two thousand jobs while AWS throttles, fails and loses answers on one call in twenty."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from inference_engine import AsyncConsumer, AsyncProducer, ResultStatus, Settings
from tests.support.deployments import with_short_terms
from tests.support.fault_proxy import FaultProxy

pytestmark = pytest.mark.acceptance


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return with_short_terms(settings)


async def test_every_job_has_exactly_one_result_and_no_dedup_key_two_jobs(
    settings: Settings, aws_environment: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    computed = Counter[str]()

    async def compute(body: dict[str, int], message_id: str) -> int:
        computed[message_id] += 1
        return body["n"] * 2

    with FaultProxy(aws_environment, share=0.05, seed=7) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        patient = settings.model_copy(update={"timeout_seconds": 240.0})
        async with (
            AsyncConsumer(patient, compute_result=compute, max_labels=2),
            AsyncConsumer(patient, compute_result=compute, max_labels=2),
            AsyncProducer(patient) as producer,
        ):
            ids: list[str] = []
            for label in range(4):
                ids += await producer.post_many([{"n": n} for n in range(450)], f"label-{label}")
            once = [await producer.post_non_blocking({"n": n}, "label-0", dedup_key=f"key-{n}") for n in range(100)]
            again = [await producer.post_non_blocking({"n": n}, "label-0", dedup_key=f"key-{n}") for n in range(100)]
            assert once == again
            ids += once + [await producer.post_non_blocking({"n": n}, "label-1") for n in range(100)]
            responses = [response async for response in producer.as_completed(ids)]
        assert proxy.faults
    assert len(responses) == len({response.message_id for response in responses}) == len(set(ids)) == 2000
    assert Counter(response.status for response in responses) == {ResultStatus.SUCCESS: 2000}
    assert {response.message_id for response in responses} == set(ids)
