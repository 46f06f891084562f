"""Which URLs may be called, how deliveries are signed, when they are tried again, what a stream record gives to deliver."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference_engine.aws.schema import WEBHOOK_TRIES
from inference_engine.errors import CallbackError, DecodeError, SettingsError
from inference_engine.jobs.attempt import ATTEMPTS_PER_MESSAGE, Attempt
from inference_engine.jobs.job import CALLBACK_URL_MAX_CHARACTERS, Job, JobFailure, ResultStatus
from inference_engine.jobs.record import JobRecord
from inference_engine.webhooks.outbox import delivery_of
from inference_engine.webhooks.rules import (
    ERROR_MAX_CHARACTERS,
    EVENTS,
    JITTER,
    WAITS_SECONDS,
    Delivery,
    JobData,
    backoff_seconds,
    check_address,
    check_callback_url,
    is_public,
    keys_of,
    new_secret,
    signed_headers,
    target_of,
    verify,
)

# --- addresses -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "address",
    [
        *("1.1.1.1", "52.95.110.1", "100.63.255.255", "100.128.0.1", "172.15.0.1", "172.32.0.1", "192.169.0.1"),
        *("2606:4700:4700::1111", "2600:1f18::1", "::ffff:1.1.1.1", "64:ff9b::101:101"),
    ],
)
def test_public_addresses(address: str) -> None:
    assert is_public(address)
    check_address(address)


METADATA = ["169.254.169.254", "169.254.170.2", "fe80::1", "fe80::1%eth0", "fd00:ec2::254", "::ffff:169.254.169.254"]
METADATA += ["64:ff9b::a9fe:a9fe"]
INSIDE = ["10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "127.0.0.1", "127.8.8.8", "100.64.0.1", "::1"]
INSIDE += ["fd12:3456::1", "::ffff:10.0.0.1", "64:ff9b::7f00:1"]
NOBODYS = ["0.0.0.0", "0.1.2.3", "192.0.0.8", "192.0.2.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1"]
NOBODYS += ["240.0.0.1", "255.255.255.255", "192.88.99.1", "::", "::127.0.0.1", "ff02::1", "fec0::1", "2001:db8::1"]
NOBODYS += ["2002:7f00:1::", "2001:0:4136:e378:8000:63bf:3fff:fdd2", "64:ff9b:1::1", "100::1", "3fff::1", "4000::1"]


@pytest.mark.parametrize("address", [*METADATA, *INSIDE, *NOBODYS])
def test_addresses_that_are_not_public(address: str) -> None:
    assert not is_public(address)
    with pytest.raises(CallbackError, match="ALLOW_PRIVATE"):
        check_address(address)


@pytest.mark.parametrize("address", INSIDE)
def test_addresses_inside_may_be_allowed(address: str) -> None:
    check_address(address, allow_private=True)


@pytest.mark.parametrize("address", [*METADATA, *NOBODYS])
def test_metadata_and_nobodys_addresses_are_refused_always(address: str) -> None:
    with pytest.raises(CallbackError):
        check_address(address, allow_private=True)


@given(st.ip_addresses(v=4))
def test_an_address_in_ipv6_notation_is_judged_as_itself(address: Any) -> None:
    assert is_public(f"::ffff:{address}") == is_public(address)


@given(st.ip_addresses())
def test_nothing_that_python_calls_local_is_public(address: Any) -> None:
    local = address.is_private or address.is_loopback or address.is_link_local
    assert not (is_public(address) and (local or address.is_multicast or address.is_unspecified)), address


# --- URLs ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("https://example.com", ("https", "example.com", 443, "/")),
        ("https://Example.com:8443/jobs?id=1&x=%2F", ("https", "example.com", 8443, "/jobs?id=1&x=%2F")),
        ("https://example.com/a#part", ("https", "example.com", 443, "/a")),
        ("https://bücher.example/ä", ("https", "xn--bcher-kva.example", 443, "/%C3%A4")),
        ("https://1.1.1.1/", ("https", "1.1.1.1", 443, "/")),
        ("https://[2606:4700:4700::1111]/", ("https", "2606:4700:4700::1111", 443, "/")),
    ],
)
def test_urls_that_are_taken_and_whom_they_name(url: str, target: tuple[str, str, int, str]) -> None:
    assert check_callback_url(url) == url
    found = target_of(url)
    assert (found.scheme, found.host, found.port, found.path) == target


INSIDE_URLS = ["https://localhost/", "https://LOCALHOST./", "https://x.localhost:8443/", "https://127.0.0.1/"]
INSIDE_URLS += ["https://2130706433/", "https://0x7f.1/", "https://0177.0.0.1/", "https://127.1/", "https://[::1]/"]
INSIDE_URLS += ["https://１２７.0.0.1/", "https://ⓛocalhost/", "https://[::ffff:10.0.0.1]/", "http://example.com/"]
INSIDE_URLS += ["https://example.com:80/", "https://example.com:25/"]


@pytest.mark.parametrize("url", INSIDE_URLS)
def test_urls_that_must_be_allowed(url: str) -> None:
    with pytest.raises(CallbackError):
        check_callback_url(url)
    assert check_callback_url(url, allow_private=True) == url


NEVER_URLS = ["", "example.com", "ftp://example.com/", "file:///etc/passwd", "https://", "https://user@example.com/"]
NEVER_URLS += [
    "https://user:password@example.com/",
    "https://example.com:0/",
    "https://example.com:99999/",
    "https:// /",
]
NEVER_URLS += ["https://exam ple.com/", "https://example.com/\r\nX: 1", "https://a\tb.com/", "https:\\\\example.com/"]
NEVER_URLS += ["https://169.254.169.254/latest/", "https://[fd00:ec2::254]/", "https://0.0.0.0/", "https://224.0.0.1/"]
NEVER_URLS += ["https://example.com/" + "a" * CALLBACK_URL_MAX_CHARACTERS]


@pytest.mark.parametrize("url", NEVER_URLS)
@pytest.mark.parametrize("allow_private", [False, True])
def test_urls_that_are_never_taken(url: str, allow_private: bool) -> None:
    with pytest.raises(CallbackError):
        check_callback_url(url, allow_private=allow_private)


def test_no_message_repeats_what_may_be_a_password() -> None:
    with pytest.raises(CallbackError) as caught:
        check_callback_url("https://user:hunter2@example.com/?token=hunter2")
    assert "hunter2" not in str(caught.value)


# --- signatures ----------------------------------------------------------------------------------------------------------


def test_the_signature_is_that_of_the_specification() -> None:
    """The example of the specification's own libraries."""
    payload = b'{"test": 2432232314}'
    headers = signed_headers(
        "msg_p5jXN8AQM9LWM0D4loKWxJek", payload, keys_of("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"), 1614265330
    )
    assert headers["webhook-timestamp"] == "1614265330"
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def signed(secret: str, payload: bytes = b"{}", now: float | None = None) -> dict[str, str]:
    return signed_headers("m-SUCCESS-1", payload, keys_of(secret), now)


def test_what_was_signed_is_verified_in_whatever_case_headers_come() -> None:
    secret = new_secret()
    headers = signed(secret)
    verify(headers, b"{}", secret)
    verify({name.title(): value for name, value in headers.items()}, b"{}", secret)


def test_while_secrets_rotate_each_side_may_be_the_first() -> None:
    old, new = new_secret(), new_secret()
    both = signed(f"{new} {old}")
    assert len(both["webhook-signature"].split()) == 2
    for receiver in (old, new, f"{old} {new}"):
        verify(both, b"{}", receiver)
    verify(signed(old), b"{}", f"{new} {old}")


@pytest.mark.parametrize(
    "change",
    [
        lambda headers: headers | {"webhook-id": "m-ERROR-1"},
        lambda headers: headers | {"webhook-id": "\udcff"},
        lambda headers: headers | {"webhook-timestamp": str(int(headers["webhook-timestamp"]) + 1)},
        lambda headers: headers | {"webhook-signature": "v1,AAAA v2,BBBB"},
        lambda headers: headers | {"webhook-signature": "é"},
        lambda headers: headers | {"webhook-timestamp": "soon"},
        lambda headers: {name: value for name, value in headers.items() if name != "webhook-signature"},
        lambda headers: {name: value for name, value in headers.items() if name != "webhook-id"},
        lambda headers: {},
    ],
)
def test_a_delivery_that_was_changed_is_told(change: Callable[[dict[str, str]], dict[str, str]]) -> None:
    secret = new_secret()
    with pytest.raises(CallbackError):
        verify(change(signed(secret)), b"{}", secret)


def test_another_body_another_secret_and_an_old_delivery_are_told() -> None:
    secret = new_secret()
    with pytest.raises(CallbackError, match="signature"):
        verify(signed(secret), b"{ }", secret)
    with pytest.raises(CallbackError, match="signature"):
        verify(signed(secret), b"{}", new_secret())
    for off in (-301, 301):
        with pytest.raises(CallbackError, match="300 s"):
            verify(signed(secret, now=time.time() + off), b"{}", secret)


#: Surrogates too, which is what servers make of bytes that are no text.
anything = st.text(max_size=20) | st.text("\udcff\ud800é1, ", max_size=5)
names = st.sampled_from(["webhook-id", "Webhook-Timestamp", "webhook-signature"])


@given(
    st.dictionaries(names | anything, anything | st.just("1000")),
    st.binary(max_size=5),
    anything | st.just(new_secret()) | anything.map(lambda text: f"whsec_{text}"),
)
def test_whatever_comes_is_told_by_the_librarys_own_errors(headers: dict[str, str], body: bytes, secret: str) -> None:
    with pytest.raises((CallbackError, SettingsError)):
        verify(headers, body, secret, now=1000)


@given(anything)
def test_of_a_right_secret_only_the_delivery_is_refused(delivery_id: str) -> None:
    headers = {"webhook-id": delivery_id, "webhook-timestamp": "1000", "webhook-signature": "v1,AAAA"}
    with pytest.raises(CallbackError):
        verify(headers, b"{}", new_secret(), now=1000)


def test_a_malformed_secret_is_the_receivers_own_mistake() -> None:
    with pytest.raises(SettingsError):
        verify(signed(new_secret()), b"{}", "whsec_AAAA")


@pytest.mark.parametrize(
    "text", ["", " ", "secret", "whsec_", "whsec_AAAA", "whsec_not*base64", "MfKQ9r8GKYqrTwjUPD8ILPZI"]
)
def test_what_is_no_secret_is_told_without_a_part_of_it(text: str) -> None:
    with pytest.raises(SettingsError) as caught:
        keys_of(f"{new_secret()} {text}" if text.strip() else text)
    assert "AAAA" not in str(caught.value)
    assert "not*base64" not in str(caught.value)


def test_secrets_differ() -> None:
    assert len({new_secret() for _ in range(10)}) == 10
    assert len(keys_of(new_secret())[0]) == 32


# --- tries ---------------------------------------------------------------------------------------------------------------


def test_waits_grow_up_to_an_hour_and_the_last_failure_waits_for_nothing() -> None:
    assert list(WAITS_SECONDS) == sorted(WAITS_SECONDS)
    assert (WAITS_SECONDS[:3], max(WAITS_SECONDS)) == ((5.0, 30.0, 120.0), 3600.0)
    for tries, wait in enumerate(WAITS_SECONDS, 1):
        drawn = {backoff_seconds(tries) for _ in range(50)}
        assert len(drawn) > 1
        assert all(wait * (1 - JITTER) <= one <= wait for one in drawn)
    assert backoff_seconds(WEBHOOK_TRIES) == backoff_seconds(WEBHOOK_TRIES + 5) == 0
    assert len(WAITS_SECONDS) + 1 == WEBHOOK_TRIES


# --- deliveries ----------------------------------------------------------------------------------------------------------

URL = "https://example.com/hook"
JOB = Job(label="m", request_id="mine", body="1", submitted_at=1000.0, callback_url=URL)


def data(status: ResultStatus, error: JobFailure | None = None) -> JobData:
    return JobData(message_id="id", request_id="r", label="m", status=status, error=error)


@pytest.mark.parametrize("status", list(ResultStatus))
def test_a_delivery_comes_back_from_its_queue_as_it_was(status: ResultStatus) -> None:
    delivery = Delivery.of(URL, data(status), attempt=2, at=1.5)
    assert Delivery.decode(delivery.encode()) == delivery
    assert delivery.id == f"id-{status.value}-2"
    body = json.loads(delivery.payload)
    assert (body["type"], body["timestamp"]) == (EVENTS[status], "1970-01-01T00:00:01.500000Z")
    assert body["data"]["status"] == status.value


def test_ten_deliveries_at_their_longest_fit_a_request() -> None:
    long = JobData(
        message_id="i" * 100,
        request_id="ü" * 1000,
        label="ü" * 256,
        status=ResultStatus.ERROR,
        error=JobFailure(type="E" * 100, message="ü" * 10_000_000),
    )
    delivery = Delivery.of("https://x.example/" + "a" * 2000, long, attempt=1, at=0)
    assert len(json.loads(delivery.payload)["data"]["error"]["message"]) == ERROR_MAX_CHARACTERS
    assert 10 * len(delivery.encode()) < 262_144


@pytest.mark.parametrize("text", ["", "{}", "[]", "no json", '{"id": "a", "url": 1, "payload": ""}'])
def test_what_is_no_delivery_is_told(text: str) -> None:
    with pytest.raises(DecodeError):
        Delivery.decode(text)


# --- what a stream record gives to deliver -------------------------------------------------------------------------------


def item(record: JobRecord) -> dict[str, Any]:
    fields = {"message_id": record.message_id, **record.fields()}
    return {name: {"S": value} if isinstance(value, str) else {"N": str(value)} for name, value in fields.items()}


def record(status: ResultStatus, **fields: Any) -> JobRecord:
    job = JOB.model_copy(update={"callback_url": fields.pop("callback_url", URL)})
    submitted = Attempt("id", job, 0, "").submitted()
    return JobRecord(
        **{name: getattr(submitted, name) for name in JobRecord.__dataclass_fields__} | {"status": status} | fields
    )


def change(before: JobRecord | None, after: JobRecord | None) -> dict[str, Any]:
    images = {"OldImage": before, "NewImage": after}
    inner: dict[str, Any] = {name: item(image) for name, image in images.items() if image}
    inner |= {"SequenceNumber": "1", "ApproximateCreationDateTime": 2000.0, "Keys": {"message_id": {"S": "id"}}}
    return {"eventSource": "aws:dynamodb", "dynamodb": inner}


def delivered(before: JobRecord | None, after: JobRecord | None) -> Any:
    delivery = delivery_of(change(before, after))
    return delivery and json.loads(delivery.payload)


SUBMITTED = record(ResultStatus.SUBMITTED)
RUNNING = record(ResultStatus.IN_PROGRESS, attempt=1, starts=1, started_at=1001.0, consumer="c")
DONE = record(ResultStatus.SUCCESS, attempt=1, started_at=1001.0, finished_at=1002.0, result='"big"')
DEAD = record(
    ResultStatus.ERROR, attempt=1, finished_at=1003.0, error=JobFailure(type="DeadLettered", message="too often")
)


@pytest.mark.parametrize(
    ("before", "after", "event", "at"),
    [
        (SUBMITTED, RUNNING, "job.started", "1970-01-01T00:16:41Z"),
        (SUBMITTED, DONE, "job.succeeded", "1970-01-01T00:16:42Z"),
        (RUNNING, DONE, "job.succeeded", "1970-01-01T00:16:42Z"),
        (None, DONE, "job.succeeded", "1970-01-01T00:16:42Z"),
        (None, RUNNING, "job.started", "1970-01-01T00:16:41Z"),
        (RUNNING, DEAD, "job.failed", "1970-01-01T00:16:43Z"),
        (RUNNING, record(ResultStatus.SUBMITTED, attempt=1), "job.requeued", "1970-01-01T00:33:20Z"),
        (DEAD, record(ResultStatus.SUBMITTED, attempt=ATTEMPTS_PER_MESSAGE), "job.requeued", "1970-01-01T00:33:20Z"),
        (None, record(ResultStatus.SUBMITTED, attempt=ATTEMPTS_PER_MESSAGE), "job.requeued", "1970-01-01T00:33:20Z"),
        (SUBMITTED, record(ResultStatus.CANCELLED, finished_at=1004.0), "job.cancelled", "1970-01-01T00:16:44Z"),
        (SUBMITTED, record(ResultStatus.EXPIRED, finished_at=1004.0), "job.expired", "1970-01-01T00:16:44Z"),
    ],
)
def test_each_change_of_status_is_delivered(before: JobRecord | None, after: JobRecord, event: str, at: str) -> None:
    body = delivered(before, after)
    assert (body["type"], body["timestamp"]) == (event, at)
    assert body["data"]["submitted_at"] == 1000.0
    assert "result" not in body["data"]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (None, SUBMITTED),
        (DONE, None),
        (RUNNING, record(ResultStatus.IN_PROGRESS, attempt=2, starts=2, started_at=1009.0)),
        (SUBMITTED, record(ResultStatus.SUBMITTED, expires_at=5)),
        (record(ResultStatus.SUBMITTED, callback_url=None), record(ResultStatus.SUCCESS, callback_url=None)),
        (None, record(ResultStatus.SUCCESS, callback_url="")),
    ],
)
def test_nothing_else_is_delivered(before: JobRecord | None, after: JobRecord | None) -> None:
    assert delivery_of(change(before, after)) is None


def test_a_job_that_failed_tells_why_and_what_it_is() -> None:
    body = delivered(RUNNING, DEAD)
    assert body["data"]["error"] == {"type": "DeadLettered", "message": "too often"}
    assert (body["data"]["message_id"], body["data"]["request_id"], body["data"]["label"]) == ("id", "mine", "m")


def test_ids_differ_over_all_changes_of_a_job_and_not_over_readings_of_one() -> None:
    again = record(ResultStatus.SUBMITTED, attempt=1)
    second = record(ResultStatus.IN_PROGRESS, attempt=2)
    redriven = record(ResultStatus.SUBMITTED, attempt=ATTEMPTS_PER_MESSAGE)
    once_more = record(ResultStatus.IN_PROGRESS, attempt=ATTEMPTS_PER_MESSAGE + 1)
    life = [SUBMITTED, RUNNING, again, second, DEAD, redriven, once_more, record(ResultStatus.SUCCESS, attempt=10_001)]
    changes = [change(before, after) for before, after in itertools.pairwise(life)]
    first, second_reading = ([delivery_of(one) for one in changes] for _ in range(2))
    assert len({delivery.id for delivery in first if delivery}) == len(changes)
    assert first == second_reading


def test_a_record_that_cannot_be_read_does_not_stop_the_stream(caplog: pytest.LogCaptureFixture) -> None:
    strange = change(SUBMITTED, DONE)
    strange["dynamodb"]["NewImage"]["status"] = {"S": "OF_A_LATER_RELEASE"}
    assert delivery_of(strange) is None
    assert "cannot be read" in caplog.text


@given(
    st.sampled_from(
        ["submitted_at", "started_at", "finished_at", "attempt", "starts", "expires_at", "ApproximateCreationDateTime"]
    ),
    st.floats(-1e125, 1e125) | st.sampled_from([1e11, 1e12, 1e20, -1e20]),
    st.sampled_from([RUNNING, DONE, DEAD, record(ResultStatus.SUBMITTED, attempt=1)]),
)
def test_no_number_that_a_table_can_hold_stops_the_stream(name: str, number: float, after: JobRecord) -> None:
    strange = change(SUBMITTED if after.status.finished else DEAD, after)
    inner = strange["dynamodb"]
    if name in inner:
        inner[name] = number
    else:
        inner["NewImage"][name] = {"N": repr(number)}
    delivery = delivery_of(strange)
    assert delivery is None or Delivery.decode(delivery.encode()) == delivery


def test_records_keep_what_the_job_says() -> None:
    kept = JOB.model_copy(update={"keep_body": True, "body": '{"a":1}'})
    for job, body in ((kept, '{"a":1}'), (JOB, None)):
        found = JobRecord.from_item(item(Attempt("id", job, 0, "").submitted()))
        assert (found.callback_url, found.body, found.body_ref) == (URL, body, None)
    elsewhere = kept.model_copy(update={"body": None, "body_ref": "s3://b/k"})
    assert JobRecord.from_item(item(Attempt("id", elsewhere, 0, "").submitted())).body_ref == "s3://b/k"
