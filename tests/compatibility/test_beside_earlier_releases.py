"""An earlier release and this tree on one deployment, as in a rolling upgrade: what one writes, the other reads.

The deployment is made by the earlier release. `one` and `other` are the two releases, in both orders. For the next release,
put its wheel into this folder (README.md tells how): every test here then runs beside it as well.
"""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any

import numpy as np

from tests.support.webhooks import receiver

from .releases import Side

SECRET = "whsec_" + "c" * 32
LARGE = "x" * 10_000


def held_of(overview: dict[str, Any]) -> dict[str, list[str]]:
    """The loaded labels of each consumer."""
    return {row["consumer_id"]: sorted(row["loaded"]) for row in overview["consumers"]}


# --- jobs ----------------------------------------------------------------------------------------------------------------


def test_a_job_of_one_release_is_computed_by_the_other_and_both_read_its_result(served: tuple[Side, Side, str]) -> None:
    one, other, consumer = served
    array = np.arange(6, dtype="<f4").reshape(2, 3)
    values = [
        {"number": 1, "text": "ä", "nothing": None, "list": [1.5, True]},
        {"$tensor": "a caller's own key", "$bytes": 1, "$plain": []},
        b"\x00\xff",
        np.array([np.nan, np.inf]),
        np.array(["a", "ä"], dtype=object),
        array,
    ]
    message_id = one.post({"value": values}, "m", request_id="mine")
    for told in (one.wait(message_id), other.wait(message_id)):
        assert (told["status"], told["request_id"], told["label"]) == ("SUCCESS", "mine", "m")
        assert (told["result"]["consumer"], told["result"]["message_id"]) == (consumer, message_id)
        np.testing.assert_equal(told["result"]["value"], values)
        assert told["result"]["value"][-1].dtype == array.dtype
    assert one.status(message_id) == other.status(message_id) == "SUCCESS"


def test_a_blocking_post_of_one_release_is_answered_by_the_other(served: tuple[Side, Side, str]) -> None:
    one, other, consumer = served
    response = one.post_and_wait({"value": 1}, "blocking")
    assert (response["status"], response["result"]["consumer"]) == ("SUCCESS", consumer)
    assert other.wait(response["message_id"])["result"] == response["result"]


def test_payloads_in_s3_are_found_by_the_other_release(served: tuple[Side, Side, str], s3: Any) -> None:
    one, _, consumer = served
    message_id = one.post({"value": LARGE}, "large")
    result = one.wait(message_id)["result"]
    assert (result["consumer"], result["value"]) == (consumer, LARGE)
    stored = s3.list_objects_v2(Bucket=one.settings["bucket"])["Contents"]
    assert {item["Key"].rpartition("/")[0] for item in stored} == {"payloads/body", "payloads/result"}


def test_a_running_job_is_cancelled_by_the_other_release(served: tuple[Side, Side, str]) -> None:
    one, other, _ = served
    gate = f"{one.settings['prefix']}-cancel"
    running = one.post({"gate": gate}, "cancel")
    other.job_started(gate)
    assert one.cancel(running)
    other.open_gate(gate)
    # Jobs of a label are in order: when the next one has ended, this one has too.
    assert one.post_and_wait({}, "cancel")["status"] == "SUCCESS"
    assert one.wait(running)["status"] == other.wait(running)["status"] == "CANCELLED"


def test_a_job_posted_by_both_releases_with_one_key_is_one_job(served: tuple[Side, Side, str]) -> None:
    one, other, _ = served
    assert one.post({}, "m", dedup_key="order 7") == other.post({}, "m", dedup_key="order 7")


def test_a_waiting_job_is_cancelled_by_the_other_release(served: tuple[Side, Side, str]) -> None:
    one, other, _ = served
    gate = f"{one.settings['prefix']}-wait"
    one.command("labels", "set", "wait", "--max-in-flight", "1")
    running = one.post({"gate": gate}, "wait")
    other.job_started(gate)
    waiting = one.post({"value": "never"}, "wait")
    assert other.cancel(waiting)
    assert one.status(waiting) == "CANCELLED"
    other.open_gate(gate)
    assert one.post_and_wait({}, "wait")["status"] == "SUCCESS"
    assert one.wait(running)["status"] == "SUCCESS"
    assert one.wait(waiting)["status"] == other.wait(waiting)["status"] == "CANCELLED"


# --- one fleet of both ---------------------------------------------------------------------------------------------------


def test_a_label_that_one_release_holds_is_not_loaded_by_the_other(one: Side, other: Side) -> None:
    full = one.consume(max_labels=1)
    assert other.post_and_wait({}, "first")["result"]["consumer"] == full
    free = other.consume(max_labels=1)
    # A load request of one release is served by the other, which has the free slot.
    assert one.post_and_wait({}, "second")["result"]["consumer"] == free
    jobs = [side.post({}, label) for side in (one, other) for label in ("first", "second") * 3]
    assert [one.wait(job)["result"]["consumer"] for job in jobs] == [full, free] * 6
    for side in (one, other):
        overview = side.command("top", "--once")
        assert held_of(overview) == {full: ["first"], free: ["second"]}
        labels = [(row["label"], row["state"], row["hosts"]) for row in overview["labels"]]
        assert labels == [("first", "loaded", 1), ("second", "loaded", 1)]
        assert (overview["totals"]["consumers"], overview["totals"]["misses"]) == (2, 2)


def test_a_label_moves_from_one_release_to_the_other_when_its_slot_is_needed(one: Side, other: Side) -> None:
    prefix = one.settings["prefix"]
    busy_first, busy_here, busy_there = f"{prefix}-first", f"{prefix}-here", f"{prefix}-there"
    here = one.consume(max_labels=1)
    held_first = one.post({"gate": busy_first}, "moves")
    one.job_started(busy_first)
    # This one is busy: only there is room for a label.
    there = other.consume(max_labels=1)
    held_there = one.post({"gate": busy_there}, "second")
    other.job_started(busy_there)
    one.open_gate(busy_first)
    assert one.wait(held_first)["result"]["consumer"] == here
    # The other one is busy: only here a label can be evicted.
    held_here = other.post({"gate": busy_here}, "third")
    one.job_started(busy_here)
    other.open_gate(busy_there)
    assert one.wait(held_there)["result"]["consumer"] == there
    # Now it is the other way round.
    assert one.post_and_wait({}, "moves")["result"]["consumer"] == there
    one.open_gate(busy_here)
    assert other.wait(held_here)["result"]["consumer"] == here


def test_a_job_given_back_by_one_release_is_computed_by_the_other(one: Side, other: Side) -> None:
    gate = one.settings["prefix"]
    leaving = one.consume()
    jobs = [one.post({"gate": gate}, "m") for _ in range(2)]
    one.job_started(gate)
    staying = other.consume()
    one.stop_consuming(leaving, drain_seconds=0.1)
    other.open_gate(gate)
    assert [other.wait(job)["result"]["consumer"] for job in jobs] == [staying, staying]


def test_both_releases_send_a_label_to_the_same_cell(one: Side, other: Side) -> None:
    labels = [f"m{number}" for number in range(6)]
    one.provision(cells=2)
    consumers = {one.consume(max_labels=6, cell=0), other.consume(max_labels=6, cell=1)}
    jobs = {(side.release.name, label): side.post({}, label) for side in (one, other) for label in labels}
    found = {key: one.wait(job)["result"]["consumer"] for key, job in jobs.items()}
    assert {label: found[one.release.name, label] for label in labels} == {
        label: found[other.release.name, label] for label in labels
    }
    assert set(found.values()) == consumers


# --- what operators do ---------------------------------------------------------------------------------------------------


def test_settings_of_a_label_made_with_one_release_count_for_the_other(one: Side, other: Side, sqs: Any) -> None:
    one.command("labels", "set", "m", "--lanes", "3", "--max-in-flight", "2")
    assert other.command("labels", "list") == [{"label": "m", "lanes": 3, "max_in_flight": 2, "hosts": []}]
    for number in range(20):
        other.post({}, "m", dedup_key=str(number))
    other.command("labels", "set", "m", "--lanes", "2")
    assert one.command("labels", "list") == [{"label": "m", "lanes": 2, "max_in_flight": 2, "hosts": []}]
    assert groups(sqs, one, "m") == {"m/0", "m/1", "m/2"}


def test_a_dead_letter_kept_by_one_release_is_redriven_by_the_other(one: Side, other: Side, sqs: Any) -> None:
    small, large = one.post({"value": 1}, "m"), other.post({"value": LARGE}, "m")
    receive_until_dead(sqs, one, "m")
    assert len(one.command("dlq", "collect")["letters"]) == 2
    assert {row["message_id"] for row in other.command("dlq", "list")["letters"]} == {small, large}
    for side in (one, other):
        assert str(side.wait(small)["error"]).startswith("DeadLettered: ")
    assert [row["outcome"] for row in other.command("dlq", "redrive", "--all")] == ["redriven", "redriven"]
    consumer = one.consume()
    for message_id, value in ((small, 1), (large, LARGE)):
        for side in (one, other):
            result = side.wait(message_id)["result"]
            assert (result["consumer"], result["value"]) == (consumer, value)


def test_a_key_made_with_one_release_opens_the_others_gateway(served: tuple[Side, Side, str]) -> None:
    one, other, consumer = served
    made = one.command("keys", "create", "operator", "--labels", "http", "--operator")
    with other.gateway() as gateway:
        assert run_task(gateway.url, "no key") == 401
        assert run_task(gateway.url, made["key"], label="other") == 403
        assert run_task(gateway.url, made["key"])["consumer"] == consumer
        overview = one.command("top", "--once", "--gateway", gateway.url, INFERENCE_ENGINE_API_KEY=made["key"])
    assert "http" in held_of(overview)[consumer]
    assert overview["gateway"]["outcomes"]["dispatched"] == 1
    assert [row["key_id"] for row in other.command("keys", "list")] == [made["key_id"]]


def test_webhooks_of_one_release_tell_of_the_others_jobs(served: tuple[Side, Side, str]) -> None:
    one, other, _ = served
    with receiver() as there:
        one.deliver_webhooks(SECRET)
        message_id = one.post({}, "webhooks", callback_url=there.url)
        told = there.next()
        while told.event["type"] == "job.started":
            told = there.next()
    other.release.ask("verify_webhook", headers=told.headers, payload=told.body, secret=SECRET)
    assert told.event["type"] == "job.succeeded"
    assert (told.event["data"]["message_id"], told.event["data"]["label"]) == (message_id, "webhooks")


def groups(sqs: Any, side: Side, label: str) -> set[str]:
    """The message groups on the queue of a label."""
    url = url_of(sqs, side, label)
    found: set[str] = set()
    while messages := receive(sqs, url, 30):
        found |= {message["Attributes"]["MessageGroupId"] for message in messages}
    return found


def receive_until_dead(sqs: Any, side: Side, label: str) -> None:
    """What consumers do that die over every job of a label."""
    url = url_of(sqs, side, label)
    while receive(sqs, url, 0):
        pass


def receive(sqs: Any, url: str, visibility_seconds: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = sqs.receive_message(
        QueueUrl=url,
        MaxNumberOfMessages=10,
        VisibilityTimeout=visibility_seconds,
        MessageSystemAttributeNames=["MessageGroupId"],
    ).get("Messages", [])
    return found


def url_of(sqs: Any, side: Side, label: str) -> str:
    return str(sqs.get_queue_url(QueueName=f"{side.settings['prefix']}-{label}.fifo")["QueueUrl"])


def run_task(url: str, key: str, label: str = "http") -> Any:
    """The result of a task posted over HTTP; the status of an answer that is an error."""
    body = json.dumps({"task_type": "infer", "label": label, "parameters_json": "{}"}).encode()
    headers = {"X-API-Key": key, "Content-Type": "application/json"}
    try:
        with urllib.request.urlopen(urllib.request.Request(f"{url}/run-task", body, headers), timeout=30) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code
