"""The parts of the benchmarks that could tell a wrong number without anyone noticing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

import pytest

from benchmarks.growth import records, table
from benchmarks.proc import resident_bytes, tree_cpu_seconds
from benchmarks.triton.rounds import Comparison, Round
from benchmarks.triton.workloads import sentences, strips
from inference_engine.jobs.job import ResultStatus
from inference_engine.jobs.record import JobRecord


@pytest.mark.parametrize("status", [ResultStatus.SUBMITTED, ResultStatus.SUCCESS])
def test_imported_records_are_records_of_jobs(status: ResultStatus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "RECORDS_PER_OBJECT", 4)
    texts = dict(records._objects(10, status, labels=3))
    assert sorted(texts) == [0, 4, 8]
    items = [json.loads(line)["Item"] for _, text in sorted(texts.items()) for line in text.splitlines()]
    found = [JobRecord.from_item(item) for item in items]
    assert [record.message_id for record in found] == [records.message_id(number) for number in range(10)]
    assert {record.status for record in found} == {status}
    assert {record.label for record in found} == {"label-0", "label-1", "label-2"}
    assert all(record.expires_at > time.time() for record in found)
    assert all(item["open"] == {"N": "0" if status.finished else "1"} for item in items)


def test_as_many_records_as_memory_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    assert table.available_bytes() > 0
    monkeypatch.setattr(table, "available_bytes", lambda: 2 * 10_001 * table.EMULATOR_BYTES_PER_RECORD)
    assert table.fitting([1_000, 10_000, 100_000, 1_000]) == [1_000, 10_000, 1_000]


@pytest.mark.integration
def test_processor_time_of_a_process_has_that_of_its_children() -> None:
    busy = "import time\nwhile time.process_time() < 0.3: pass\nprint('done', flush=True)\ninput()"
    started = subprocess.Popen(
        ["/bin/sh", "-c", '"$0" -c "$1"; true', sys.executable, busy], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert started.stdout is not None
    assert started.stdout.readline() == b"done\n"
    try:
        assert tree_cpu_seconds(started.pid) >= 0.25
    finally:
        started.communicate(b"\n")
    assert resident_bytes(os.getpid()) > 1_000_000


def test_a_comparison_counts_items() -> None:
    one = Comparison(sentences(8), lanes=4, jobs=100)
    one.direct = [Round(2.0, {"Triton": 1.0}), Round(4.0, {"Triton": 2.0}), Round(2.0, {"Triton": 1.5})]
    one.engine = [Round(4.0, {"Triton": 1.0, "consumer": 1.0})]
    assert one.concurrency == 40
    assert (one.rate(one.direct), one.rate(one.engine), one.share) == (400, 200, 0.5)
    assert one.cpu(one.direct, "Triton") == pytest.approx(15)
    assert one.cores(one.engine) == pytest.approx(0.5)


def test_bodies_differ_and_hold_as_many_items_as_they_say() -> None:
    texts = [tuple(body["TEXT"]) for body in sentences(3).bodies()]
    assert {len(text) for text in texts} == {3}
    assert len(set(texts)) == len(texts)
    assert {len(body["x"]) for body in strips(3).bodies()} == {3}
