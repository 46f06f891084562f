"""The command line without AWS: parsing, errors, help, output, logs."""

import argparse
import io
import json
import logging
import signal
import sys
from pathlib import Path

import pytest

from inference_engine import cli, logs
from inference_engine.cli import common, consume, fleet
from inference_engine.cli.local import _sigterm_as_interrupt
from inference_engine.errors import InferenceEngineError, LocalStackError, SettingsError
from inference_engine.fleet.view import ConsumerView, Fleet, LabelSettings, LabelStatistics
from inference_engine.local import running


def parsers(parser: argparse.ArgumentParser, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """The paths of all commands below a parser, its own included."""
    found = [path]
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, child in action.choices.items():
                found += parsers(child, (*path, name))
    return found


@pytest.mark.parametrize("path", parsers(cli.build_parser()), ids=" ".join)
def test_every_command_has_help(path: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([*path, "--help"]) == 0
    assert "usage: inference-engine" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["consume", "post", "result", "labels", "local", "demo"])
def test_help_teaches_by_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    cli.main([command, "--help"])
    assert f"examples:\n  inference-engine {command}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "required: COMMAND"),
        (["consume"], "one of the arguments --function --triton --onnx --simulate is required"),
        (["consume", "--function", "a:b", "--triton", "h:1"], "not allowed with"),
        (["consume", "--function", "a:b", "--max-labels", "0"], "'0' is not a whole number of at least 1"),
        (["consume", "--function", "a:b", "--memory-budget", "much"], "write 2000000, 500MB or 8GiB"),
        (["consume", "--function", "a:b", "--http-port", "70000"], "'70000' is not a TCP port"),
        (["consume", "--triton", "h:1", "--model-store", "s3://m"], "give both --model-store"),
        (["consume", "--function", "a:b", "--model-store", "m", "--model-repository", "r"], "give --triton HOST:PORT"),
        (["consume", "--function", "a:b", "--table", "t"], "--table needs --queue-name"),
        (["consume", "--simulate", "1,2,3"], "'1,2,3' is not SECONDS[,LOAD_SECONDS]"),
        (["consume", "--simulate", "-1"], "argument --simulate"),
        (["consume", "--simulate", "0.1,inf"], "write 0.1 or 0.1,2"),
        (["post"], "no label given"),
        (["post", "red", "{"], "BODY '{' is not JSON"),
        (["post", "red", "{}", "--deadline-in", "-1"], "'-1' is not a number above zero"),
        (["post", "--queue-name", "q.fifo", "red", "{}"], "has no label; leave 'red' out"),
        (["labels", "set", "red"], "nothing to set"),
        (["status"], "required: ID"),
        (
            ["post", "--timeut=5", "red", "1"],
            "post: error: unrecognized arguments: --timeut=5; did you mean --timeout?",
        ),
        (["keys", "create", "x", "--xyzzy"], "keys create: error: unrecognized arguments: --xyzzy\n"),
    ],
)
def test_wrong_usage_is_told_with_exit_code_2(
    arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(arguments) == 2
    assert told in capsys.readouterr().err


def test_an_error_of_the_library_is_one_line_and_exit_code_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("INFERENCE_ENGINE_CELLS", "many")
    assert cli.main(["status", "some-id"]) == 1
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    assert "INFERENCE_ENGINE_CELLS" in captured.err
    assert captured.out == ""


def test_nan_in_a_body_is_refused_before_anything_is_sent(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("inference_engine.producer.routes.LabelRoutes.queue_url", _url)
    assert cli.main(["post", "red", '{"x": NaN}']) == 1
    assert "body['x'] is nan" in capsys.readouterr().err


async def _url(_self: object, _label: str) -> str:
    return "http://127.0.0.1:1/queue"


def test_interruption_ends_with_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(consume, "settings_of", interrupt)
    assert cli.main(["consume", "--function", "a:b"]) == 130


@pytest.mark.parametrize(
    ("text", "size"),
    [("1", 1), ("2000000", 2_000_000), ("500MB", 500_000_000), ("1.5GiB", 3 * 2**29), ("8 gib", 2**33), ("2k", 2000)],
)
def test_sizes(text: str, size: int) -> None:
    assert common.size(text) == size


@pytest.mark.parametrize("text", ["", "GB", "-1GB", "1XB", "1e999", "nan"])
def test_no_sizes(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        common.size(text)


def test_a_function_is_found_beside_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "found_app.py").write_text(
        "class App:\n    @staticmethod\n    def run(body, message_id):\n        return 1\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    assert consume.find_function("found_app:App.run")(None, "") == 1


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("no_colon", "write MODULE:NAME"),
        ("no_such_module_here:f", "no module 'no_such_module_here'"),
        ("json:no_such_name", "json has no 'no_such_name'"),
        ("json:__doc__", "is a str, not a function"),
    ],
)
def test_what_is_no_function_is_told(name: str, told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    with pytest.raises(SettingsError, match=told):
        consume.find_function(name)


def test_a_body_comes_from_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    from inference_engine.cli import jobs

    monkeypatch.setattr(sys, "stdin", io.StringIO('{"a": 1}'))
    arguments = cli.build_parser().parse_args(["post", "red", "-"])
    assert jobs._label_and_text(arguments) == ("red", '{"a": 1}')


def test_labels_are_those_with_settings_and_those_that_are_held() -> None:
    loaded = {"blue": LabelStatistics()}
    views = (
        ConsumerView(consumer_id="b", lease_until=20, loaded=loaded),
        ConsumerView(consumer_id="a", lease_until=20, loading=("blue",)),
        ConsumerView(consumer_id="gone", lease_until=5, loaded={"green": LabelStatistics()}),
    )
    rows = fleet.label_rows([LabelSettings(label="red", lanes=2)], Fleet(views), now=10)
    assert [(row["label"], row["lanes"], row["hosts"]) for row in rows] == [("blue", 1, ["a", "b"]), ("red", 2, [])]
    assert [view.state(10) for view in views] == ["alive", "alive", "gone"]


def test_tables_line_up(capsys: pytest.CaptureFixture[str]) -> None:
    common.print_table(("NAME", "N"), [("a", 1), ("long", 100)])
    assert capsys.readouterr().out == "NAME    N\na       1\nlong  100\n"


def test_json_logs_carry_everything_structured() -> None:
    record = logging.getLogger("x").makeRecord(
        "x", logging.INFO, "f", 1, "did %s", ("it",), None, extra={"message_id": "m", "label": "red", "odd": {1}}
    )
    fields = json.loads(logs.JsonFormatter().format(record))
    assert fields.pop("time").endswith("+00:00")
    assert fields == {
        "level": "INFO", "logger": "x", "message": "did it", "message_id": "m", "label": "red", "odd": "{1}",
    }  # fmt: skip


def test_json_logs_carry_exceptions_on_one_line() -> None:
    try:
        raise ValueError("no\nway")
    except ValueError:
        record = logging.getLogger("x").makeRecord("x", logging.ERROR, "f", 1, "failed", (), sys.exc_info())
    line = logs.JsonFormatter().format(record)
    assert "\n" not in line
    assert "ValueError: no\nway" in json.loads(line)["exception"]


def test_text_logs_end_with_what_is_structured() -> None:
    record = logging.getLogger("x").makeRecord("x", logging.INFO, "f", 1, "did", (), None, extra={"label": "red"})
    assert logs.TextFormatter().format(record).endswith("x: did [label=red]")


def test_only_one_local_stack_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INFERENCE_ENGINE_CACHE", str(tmp_path))
    assert running.state() is None
    assert running.end(1) is False
    (tmp_path / "local.json").write_text('{"pid": 1}')
    with running.only_one():
        assert running.state() is None  # what a killed stack left behind is not believed
        running.record({"A": "b"}, {})
        state = running.state()
        assert state is not None
        assert state["environment"] == {"A": "b"}
        with pytest.raises(LocalStackError, match="is already running"), running.only_one():
            pass
    assert running.state() is None


def test_local_env_without_a_stack_says_how_to_start_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("INFERENCE_ENGINE_CACHE", str(tmp_path))
    assert cli.main(["local", "env"]) == 1
    assert "inference-engine local up" in capsys.readouterr().err


def test_sigterm_unwinds_like_ctrl_c() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt), _sigterm_as_interrupt():
        signal.raise_signal(signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_setting_of_a_label_that_nobody_would_accept_is_told() -> None:
    with pytest.raises(InferenceEngineError, match="lanes = 2000"):
        fleet.changed(LabelSettings(label="red"), {"lanes": 2000})
