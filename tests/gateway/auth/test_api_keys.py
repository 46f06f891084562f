"""API keys in the registry table: made, read, revoked; by the command and by a gateway's guard."""

from __future__ import annotations

import json
import re
import time

import pytest
from starlette.datastructures import Headers

from inference_engine import cli
from inference_engine.api_keys import ApiKeys, digest_of, parse
from inference_engine.aws.transport import AioTransport
from inference_engine.deployment import Deployment
from inference_engine.gateway.auth.access import FRESH_SECONDS, Access
from inference_engine.gateway.http.problems import Problem
from inference_engine.settings import Settings
from tests.support.fault_proxy import Fault, FaultProxy


async def rows_of(deployment: Deployment) -> str:
    """All that the registry table holds."""
    return json.dumps(
        (await deployment.transport.call("dynamodb", "scan", TableName=deployment.settings.registry_table))["Items"]
    )


async def test_a_key_comes_and_goes(deployment: Deployment) -> None:
    expires_at = float(int(time.time()) + 1000)
    text, key = await deployment.api_keys.create(
        "team", labels=["red", "b-*"], priority=-3, rate=2.5, burst=7, operator=True, expires_at=expires_at
    )
    other_text, other = await deployment.api_keys.create("team")
    assert await deployment.api_keys.get(key.key_id) == key
    assert (key.labels, key.priority, key.rate, key.burst, key.operator) == (("red", "b-*"), -3, 2.5, 7, True)
    assert (other.labels, other.priority, other.rate, other.operator, other.expires_at) == (None, 0, None, False, None)
    assert await deployment.api_keys.all() == [key, other]
    assert text != other_text
    assert await deployment.api_keys.revoke(key.key_id)
    assert not await deployment.api_keys.revoke(key.key_id)
    assert await deployment.api_keys.get(key.key_id) is None
    assert await deployment.api_keys.all() == [other]


async def test_the_table_has_no_secret_and_the_time_when_the_row_may_go(deployment: Deployment) -> None:
    text, key = await deployment.api_keys.create("team", expires_at=2_000_000_000.0)
    parts = parse(text)
    assert parts is not None
    assert parts[0] == key.key_id
    rows = await rows_of(deployment)
    assert parts[1] not in rows
    assert digest_of(parts[1]) in rows
    assert json.loads(rows)[0]["expires_at"] == {"N": "2000000000"}


async def test_a_taken_id_is_not_written_over(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = iter("a" * 20 + "b" * 10)
    monkeypatch.setattr("secrets.choice", lambda _alphabet: next(ids))
    _, first = await deployment.api_keys.create("first")
    _, second = await deployment.api_keys.create("second")
    assert (first.key_id, second.key_id) == ("a" * 10, "b" * 10)
    assert await deployment.api_keys.get("a" * 10) == first


async def test_lost_answers_make_one_key_and_revoke_it(
    settings: Settings, aws_environment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FaultProxy(aws_environment, share=0) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        transport = AioTransport()
        keys = ApiKeys(transport, settings.registry_table)
        proxy.plan("PutItem", Fault.LOST_RESPONSE)
        _, key = await keys.create("team")
        assert await keys.all() == [key]
        proxy.plan("DeleteItem", Fault.LOST_RESPONSE)
        assert await keys.revoke(key.key_id)
        assert await keys.all() == []
        assert proxy.faults[Fault.LOST_RESPONSE] == 2
        await transport.close()


async def test_a_gateway_knows_a_key_at_once_and_forgets_a_revoked_one(deployment: Deployment) -> None:
    text, key = await deployment.api_keys.create("team", labels=["red"])
    now = 0.0
    access = Access(deployment.api_keys, clock=lambda: now)
    headers = Headers({"X-API-Key": text})
    assert (await access.caller(headers)).labels == ("red",)
    await deployment.api_keys.revoke(key.key_id)
    assert (await access.caller(headers)).name == "team"
    now = FRESH_SECONDS
    with pytest.raises(Problem, match="no such API key"):
        await access.caller(headers)


# --- the command ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def prefix(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("INFERENCE_ENGINE_PREFIX", settings.prefix)
    return settings.prefix


@pytest.mark.usefixtures("prefix")
def test_the_command_prints_a_key_once(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--labels", "red, b-*", "--priority", "-7", "--rate", "2.5", "--operator", "--expires-in", "2"]
    assert cli.main(["keys", "create", "team", *arguments]) == 0
    made = capsys.readouterr()
    parts = parse(made.out.strip())
    assert parts is not None
    assert made.out.count("\n") == 1
    assert "only time" in made.err
    assert cli.main(["keys", "list", "--json"]) == 0
    listed = capsys.readouterr().out
    (key,) = json.loads(listed)
    assert (key["key_id"], key["name"], key["labels"], key["priority"]) == (parts[0], "team", ["red", "b-*"], -7)
    assert (key["rate"], key["burst"], key["operator"], key["expired"]) == (2.5, 3, True, False)
    assert 2 * 86_400 - 5 < key["expires_at"] - time.time() < 2 * 86_400 + 5
    assert parts[1] not in listed
    assert digest_of(parts[1]) not in listed
    assert cli.main(["keys", "list"]) == 0
    line = capsys.readouterr().out.splitlines()[1]
    assert line.split()[:6] == [parts[0], "team", "red,b-*", "-7", "2.5", "3"]
    assert len(re.findall(r"\d{4}-\d\d-\d\d", line)) == 2


@pytest.mark.usefixtures("prefix")
def test_the_command_revokes_by_id_or_by_the_key_itself(capsys: pytest.CaptureFixture[str]) -> None:
    made = []
    for name in ("a", "b"):
        assert cli.main(["keys", "create", name, "--json"]) == 0
        made.append(json.loads(capsys.readouterr().out))
    assert cli.main(["keys", "revoke", made[0]["key_id"]]) == 0
    assert capsys.readouterr().out == f"{made[0]['key_id']} revoked\n"
    assert cli.main(["keys", "revoke", made[1]["key"], "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"key_id": made[1]["key_id"], "revoked": True}
    assert cli.main(["keys", "revoke", made[0]["key_id"]]) == 1
    assert "no key has the id" in capsys.readouterr().err
    assert cli.main(["keys", "list"]) == 0
    assert capsys.readouterr().out == "no keys\n"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["create", "x", "--priority", "101"], "from -100 to 100"),
        (["create", "x", "--priority", "high"], "from -100 to 100"),
        (["create", "x", "--labels", " , "], "names no label"),
        (["create", "x", "--rate", "0"], "not a number above zero"),
        (["create", "x", "--burst", "3"], "--burst needs --rate"),
        (["create", "x", "--expires-in", "40000"], "more than 36500 days"),
        (["create", " "], "printable characters"),
        (["create", "x\ny"], "printable characters"),
        (["revoke", ""], "it is empty"),
    ],
)
def test_wrong_usage_makes_no_key(arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["keys", *arguments]) == 2
    assert told in capsys.readouterr().err
