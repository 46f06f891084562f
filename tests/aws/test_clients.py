"""What the AWS clients are told."""

from __future__ import annotations

import socket

import pytest

from inference_engine.aws.transport import SHORT, RetryPolicy, ThreadTransport, client_config, region_of_environment
from inference_engine.errors import TransportError


def test_buckets_are_named_by_the_path_only_where_an_emulator_is(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(name, raising=False)
    assert client_config(1, RetryPolicy()).s3["addressing_style"] == "auto"
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:1")
    assert client_config(1, RetryPolicy()).s3["addressing_style"] == "path"


def test_a_function_gives_up_before_it_is_killed() -> None:
    """Three tries, each to connect and to read, and two waits of at most 2 s between them (botocore's standard mode)."""
    config = client_config(1, SHORT)
    tries = config.retries["total_max_attempts"]
    assert tries * (config.connect_timeout + config.read_timeout) + 4 < 55


@pytest.mark.parametrize(("value", "region"), [("eu-central-1", "eu-central-1"), ("", None)])
def test_the_region_is_that_of_all_sdks(value: str, region: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REGION", value)
    assert region_of_environment() == region


async def test_an_endpoint_where_nobody_listens_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
    monkeypatch.setenv("AWS_ENDPOINT_URL", url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    transport = ThreadTransport(region="us-east-1", threads=1, retries=RetryPolicy(tries=1))
    with pytest.raises(TransportError, match=f"AWS_ENDPOINT_URL={url}.*local up"):
        await transport.call("sqs", "list_queues")
    await transport.close()
