"""moto as a server of its own, patched to answer as AWS does: `python -m tests.support.moto_server --port 15000`."""

from __future__ import annotations

import argparse
import io
import signal
import sys
import threading
from collections.abc import Iterable
from concurrent.futures import Future
from typing import TYPE_CHECKING

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import make_server
from werkzeug.wrappers import Response

from . import moto_patches

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


class AnswersOnce:
    """The WSGI `application`, which makes each call of an SDK once, as ministack_server.AnswersOnce does and for its reason."""

    def __init__(self, application: WSGIApplication) -> None:
        self._application = application
        self._answers: dict[str, Future[Response]] = {}
        self._lock = threading.Lock()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        call = environ.get("HTTP_AMZ_SDK_INVOCATION_ID")
        if call is None:
            return self._application(environ, start_response)
        length = int(environ.get("CONTENT_LENGTH") or 0)
        body = environ["wsgi.input"].read(length)
        if len(body) < length:
            return Response(status=400)(environ, start_response)
        environ["wsgi.input"] = io.BytesIO(body)
        with self._lock:
            answer = self._answers.get(call)
            mine = answer is None or (answer.done() and _failed(answer))
            if answer is None or mine:
                answer = self._answers[call] = Future()
        if mine:
            try:
                answer.set_result(Response.from_app(self._application, environ, buffered=True))
            except Exception as error:
                answer.set_exception(error)
        return answer.result()(environ, start_response)


def _failed(answer: Future[Response]) -> bool:
    return answer.exception() is not None or answer.result().status_code >= 500


def main() -> None:
    """Serve on loopback until SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    arguments = parser.parse_args()
    moto_patches.apply_all()
    application = AnswersOnce(DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", arguments.port, application, threaded=True, request_handler=MotoRequestHandler)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    print(f"moto listens on http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
