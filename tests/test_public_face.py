"""What applications import: the exported names, what a plain install has of them, and paths of earlier versions."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import subprocess
import sys
import warnings
from importlib import resources
from typing import Any

import pytest

from inference_engine import moved
from tests.support.project import DOCS, PROJECT

FACES = ["inference_engine", "inference_engine.backends", "inference_engine.models", "inference_engine.webhooks"]
STABILITY = (DOCS / "reference" / "stability.md").read_text("utf-8")

#: Modules that only extras bring.
OF_EXTRAS = [
    "aioboto3", "aiohttp", "fastapi", "grpc", "numpy", "onnx", "onnxruntime", "prometheus_client", "rich", "tokenizers",
    "tqdm", "tritonclient", "uvicorn",
]  # fmt: skip

#: Paths that README or the documentation named or names, and that are where they were.
KEPT = [
    "inference_engine.backends.base.Backend",
    "inference_engine.backends.base.LoadedModel",
    "inference_engine.backends.base.Work",
    "inference_engine.backends.function.FunctionBackend",
    "inference_engine.backends.onnx.OnnxBackend",
    "inference_engine.backends.simulated.SimulatedBackend",
    "inference_engine.backends.triton.TritonBackend",
    "inference_engine.cli.main",
    "inference_engine.gateway.settings.GatewaySettings",
    "inference_engine.logs.JsonFormatter",
    "inference_engine.logs.configure",
    "inference_engine.models.store.FolderStore",
    "inference_engine.models.store.S3Store",
    "inference_engine.settings.Settings",
    "inference_engine.settings.WebhookSettings",
]
#: As above, but of parts that versions promise nothing of.
KEPT_FOR_TESTS = [
    "inference_engine.local.emulator.Emulator",
    "inference_engine.local.stack.LocalStack",
    "inference_engine.local.triton.TritonServer",
]


def resolved(path: str) -> Any:
    """The thing at a path."""
    module, _, name = path.rpartition(".")
    return getattr(importlib.import_module(module), name)


def rows(table: str) -> list[list[str]]:
    """The cells of a table of the page, each with its paths."""
    text = re.search(rf"<!-- {table} -->\n(.*?)<!-- end -->", STABILITY, re.DOTALL)
    assert text is not None
    return [re.findall(r"`([\w.…]+)`", line) for line in text[1].splitlines()[2:]]


# --- exported names ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("face", FACES)
def test_every_exported_name_is_there_and_every_public_name_is_exported(face: str) -> None:
    module = importlib.import_module(face)
    assert sorted(module.__all__, key=lambda name: (name.islower(), name)) == module.__all__
    assert [name for name in module.__all__ if getattr(module, name, None) is None] == []
    public = {
        name
        for name, member in vars(module).items()
        if name[0] != "_" and inspect.isclass(member) and member.__module__.startswith("inference_engine")
    }
    assert public <= set(module.__all__)


@pytest.mark.parametrize("face", FACES)
def test_every_exported_class_and_function_is_in_the_reference_by_that_path(face: str) -> None:
    pages = [*(DOCS / "reference").glob("*.md"), DOCS / "howto" / "webhooks.md"]
    text = "".join(page.read_text("utf-8") for page in pages)
    described = set(re.findall(r"auto(?:class|function|module):: ([\w.]+)", text))
    # The exceptions are described as a tree, and a delivery as the JSON that its receiver gets.
    described |= {
        "inference_engine.InferenceEngineError",
        "inference_engine.UnretryableError",
        "inference_engine.webhooks.Delivery",
    }
    assert [name for name in importlib.import_module(face).__all__ if f"{face}.{name}" not in described] == []


def test_the_page_names_every_face() -> None:
    assert [face for face in FACES if f"`{face}`" not in STABILITY] == []


def test_type_checkers_are_told_that_the_package_is_typed() -> None:
    assert resources.files("inference_engine").joinpath("py.typed").is_file()


def run(script: str) -> list[str]:
    """What a new Python that lacks what extras bring prints."""
    without = f"import sys; sys.modules.update(dict.fromkeys({OF_EXTRAS}))\n"
    done = subprocess.run(
        [sys.executable, "-c", without + script], cwd=PROJECT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.integration
def test_a_plain_install_imports_every_face_and_names_the_extra_that_a_name_needs() -> None:
    script = f"""
import importlib
for face in {FACES}:
    module = importlib.import_module(face)
    for name in module.__all__:
        try:
            getattr(module, name)
        except ImportError as error:
            print(name, type(error).__name__, str(error).partition("install it with: ")[2].partition(",")[0])
"""
    assert run(script) == [
        "AsyncConsumer ExtraMissingError pip install 'inference-engine[consumer]'",
        "Consumer ExtraMissingError pip install 'inference-engine[consumer]'",
        "OnnxBackend ExtraMissingError pip install 'inference-engine[onnx]'",
        "TritonBackend ExtraMissingError pip install 'inference-engine[triton]'",
    ]


@pytest.mark.integration
def test_importing_the_library_imports_no_more_than_posting_needs() -> None:
    script = "import inference_engine; print(*(name for name in sys.modules if name.startswith('inference_engine.')))"
    [line] = run(script)
    rooms = {name.split(".")[1] for name in line.split()}
    assert "producer" in rooms
    assert not rooms & {"backends", "cli", "consumer", "gateway", "local", "model_authoring", "models", "operations"}
    assert "inference_engine.webhooks.delivery" not in line.split()


# --- paths of earlier versions -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", KEPT + KEPT_FOR_TESTS)
def test_a_path_that_was_named_once_is_still_there(path: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert resolved(path) is not None


@pytest.mark.parametrize(("old", "new"), moved.MOVED.items())
def test_a_path_that_has_moved_works_and_names_the_new_one(old: str, new: str) -> None:
    module, _, name = old.rpartition(".")
    found: dict[str, Any] = {}
    statement = compile(f"from {module} import {name} as found", "application.py", "exec")
    with pytest.warns(
        DeprecationWarning, match=rf"^{re.escape(old)} is {re.escape(new)} now; import it from there$"
    ) as told:
        exec(statement, found)
    assert found["found"] is resolved(new)
    assert {one.filename for one in told} == {"application.py"}


def test_a_module_that_has_moved_may_be_imported_as_a_whole() -> None:
    names: dict[str, Any] = {}
    exec("import inference_engine.callbacks\nfrom inference_engine.aws import activity", names)
    with pytest.warns(DeprecationWarning, match="callbacks"):
        assert names["inference_engine"].callbacks.verify is resolved("inference_engine.webhooks.verify")
    with pytest.warns(DeprecationWarning, match="activity"):
        assert names["activity"].read_activity is resolved("inference_engine.operations.activity.read_activity")


def test_what_never_was_there_is_not_found() -> None:
    with pytest.raises(AttributeError, match=r"'inference_engine\.callbacks' has no attribute 'verfy'"):
        resolved("inference_engine.callbacks.verfy")
    with pytest.raises(AttributeError, match=r"'inference_engine\.webhooks' has no attribute 'courier_'"):
        resolved("inference_engine.webhooks.courier_")
    with pytest.raises(ModuleNotFoundError, match=r"No module named 'inference_engine\.callback'"):
        importlib.import_module("inference_engine.callback")


def test_the_finder_is_asked_last_and_registered_once() -> None:
    before = list(sys.meta_path)
    moved.keep_importable()
    assert sys.meta_path == before
    assert [type(one).__module__ for one in sys.meta_path].count(moved.__name__) == 1


def test_type_checkers_find_what_has_moved() -> None:
    stubs = {path for path in (PROJECT / "inference_engine").rglob("*.pyi") if "triton_backends" not in path.parts}
    stated = {
        f"{'.'.join(stub.relative_to(PROJECT).with_suffix('').parts)}.{name}"
        for stub in stubs
        for statement in ast.parse(stub.read_text("utf-8")).body
        for name in (
            [alias.asname for alias in statement.names if alias.asname]
            if isinstance(statement, ast.ImportFrom)
            else [target.id for target in getattr(statement, "targets", []) if isinstance(target, ast.Name)]
        )
    }
    assert stated == {path for path in moved.MOVED if not path.startswith("inference_engine.webhooks.")}


def test_the_page_lists_the_paths_that_have_moved_and_those_that_are_kept() -> None:
    assert rows("moved") == [list(pair) for pair in sorted(moved.MOVED.items())]
    listed = []
    for cells in rows("kept"):
        first, *more = cells
        module = first.rpartition(".")[0]
        listed += [first, *(f"{module}{cell[1:]}" for cell in more if cell.startswith("…."))]
    assert sorted(listed) == sorted(KEPT)
