"""A call that an SDK repeats is made once by the emulators, so that a connection that breaks does not break an apply."""

from __future__ import annotations

import http.client
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.support.aws_stack import AppliedStack

#: Of each emulator: what can be made only once, by which name, and what the refusal is.
CALLS = [
    pytest.param("ecr", "repository", "repositoryName", "RepositoryAlreadyExists", id="ministack"),
    pytest.param("ec2", "key_pair", "KeyName", "InvalidKeyPair.Duplicate", id="moto"),
]


@pytest.mark.parametrize(("service", "kind", "parameter", "refusal"), CALLS)
def test_a_second_attempt_gets_the_answer_of_the_first(
    applied_stack: AppliedStack, service: str, kind: str, parameter: str, refusal: str
) -> None:
    client = applied_stack.emulators.client(service)
    name = {parameter: "made-once"}
    unheard: list[int] = []

    def attempt(request: Any, **_: Any) -> None:
        address = urlsplit(request.url)
        connection = http.client.HTTPConnection(str(address.hostname), address.port, timeout=30)
        headers = {key: value.decode() if isinstance(value, bytes) else value for key, value in request.headers.items()}
        connection.request(request.method, address.path, request.body, headers)
        unheard.append(connection.getresponse().status)
        connection.close()

    client.meta.events.register_first(f"before-send.{service}", attempt)
    create = getattr(client, f"create_{kind}")
    create(**name)
    try:
        assert unheard == [200]
        with pytest.raises(client.exceptions.ClientError, match=refusal):
            create(**name)  # another call, both attempts of which are refused
        assert unheard == [200, 400]
    finally:
        getattr(client, f"delete_{kind}")(**name)
