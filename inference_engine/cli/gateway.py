"""gateway: run the HTTP gateway until SIGTERM or ctrl-C."""

from __future__ import annotations

import argparse

from ..errors import needs
from .common import Commands, add_logging, add_settings, command, port, settings_of, start_logging

_DESCRIPTION = """\
Run the HTTP gateway: the Open Inference Protocol v2 and three more APIs over the queues of this deployment, with flow
control in front of them. Its own settings are INFERENCE_ENGINE_GATEWAY_…, see docs/gateway.

On a loopback address it serves any caller on this machine. On any other address callers need an API key
(`inference-engine keys create`). The load balancer terminates TLS.

The first SIGTERM or ctrl-C stops admission and waits until callers have their results, the second ends it at once."""

_EXAMPLES = """\
  inference-engine gateway
  inference-engine gateway --port 9000 --log-format json
  inference-engine gateway --host 0.0.0.0                   callers need API keys
  curl http://127.0.0.1:8000/v2/models/resnet50/infer -d '{"inputs": [{"name": "X", "datatype": "FP32",
      "shape": [1, 4], "data": [1, 2, 3, 4]}]}'"""


def add(commands: Commands) -> None:
    """Declare the command."""
    parser = command(commands, "gateway", "run the HTTP gateway", _DESCRIPTION, _EXAMPLES)
    parser.add_argument("--host", metavar="ADDRESS", help="address to listen on (default: 127.0.0.1)")
    parser.add_argument("--port", metavar="PORT", type=port, help="port to listen on (default: 8000)")
    add_logging(parser)
    add_settings(parser)
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    settings = settings_of(arguments)
    with needs("gateway"):
        from ..gateway import server
        from ..gateway.settings import GatewaySettings
    from ..settings import Settings

    given = {name: getattr(arguments, name) for name in ("host", "port") if getattr(arguments, name) is not None}
    gateway = GatewaySettings(**given)
    start_logging(arguments, Settings, GatewaySettings)
    return server.run(settings, gateway)
