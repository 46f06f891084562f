"""Sphinx configuration: `make docs`."""

from typing import Any

from inference_engine import Settings, __version__
from inference_engine.gateway.settings import GatewaySettings
from inference_engine.settings import WebhookSettings

project = "inference-engine"
author = "the inference-engine authors"
project_copyright = f"2026, {author}"
release = version = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.viewcode"]
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3
exclude_patterns = ["_build", "benchmarks/aims.md"]

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
# What only an extra installs need not be here to read signatures.
autodoc_mock_imports = [
    "aioboto3", "aiohttp", "fastapi", "grpc", "numpy", "onnx", "onnxruntime", "prometheus_client", "rich", "safetensors",
    "tokenizers", "tritonclient",
]  # fmt: skip

SETTINGS = {
    "inference_engine.Settings": Settings,
    "inference_engine.settings.WebhookSettings": WebhookSettings,
    "inference_engine.gateway.settings.GatewaySettings": GatewaySettings,
}

html_theme = "furo"
html_title = "inference-engine"


def describe(_app: Any, what: str, name: str, _object: Any, _options: Any, lines: list[str]) -> None:
    """Write what reStructuredText would not get from the code: a drawn tree as it is drawn, settings with their meaning."""
    owner, _, attribute = name.rpartition(".")
    field = SETTINGS[owner].model_fields.get(attribute) if owner in SETTINGS else None
    if name == "inference_engine.errors" and what == "module":
        lines[:] = ["::", "", *(f"   {line}" for line in lines), ""]
    elif what == "attribute" and field is not None:
        lines[:] = [f"{field.description} (default: ``{field.default!r}``)", ""]


def setup(app: Any) -> None:
    """Called by Sphinx."""
    app.connect("autodoc-process-docstring", describe)


# Commands over several lines, which the lexer of console sessions does not know; it shows them all the same.
suppress_warnings = ["misc.highlighting_failure"]
