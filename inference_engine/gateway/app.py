"""Assembles the gateway: the routes of all APIs over one Service, and what every request passes before its route."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.applications import Starlette
from starlette.types import ASGIApp

from .. import __version__
from .apis import dispatcher, metrics, router, serving_agent, status
from .apis.open_inference import routes as open_inference
from .apis.openapi import Application
from .auth.access import Access, KeyGuard
from .dispatch.service import Service
from .http.access_log import AccessLog
from .http.body_limit import BodyLimit, Budget
from .http.disconnect import CancelOnDisconnect
from .http.origin import ForwardedAddress, LoopbackGuard
from .http.problems import add_handlers
from .settings import GatewaySettings

DESCRIPTION = """\
Jobs for more machine learning models than fit in memory: each is routed to a consumer that has its model (*label*) loaded.
Four APIs serve the same jobs; pick the one that your clients already speak.

Every request may carry `X-Inference-Priority`, `X-Inference-Flow` and `X-Inference-Timeout`.
Every error is a problem (RFC 9457)."""


def create_app(service: Service) -> FastAPI:
    """The ASGI application; it starts and stops the service. `guarded` adds keys, limits and metrics around it."""

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        router.tell_settings(service.settings)
        async with service:
            yield

    app = Application(
        title="inference-engine gateway",
        version=__version__,
        description=DESCRIPTION,
        lifespan=lifespan,
        # The framework's pages load scripts from other sites into a page where keys are typed.
        docs_url=None,
        redoc_url=None,
        # The redirect would go to whatever the caller's Host header names.
        redirect_slashes=False,
        generate_unique_id_function=_operation_id,
    )
    app.state.service = service
    app.state.metrics = metrics.GatewayMetrics(service)
    for api in (open_inference, dispatcher, serving_agent, router, status, metrics):
        app.include_router(api.router)
    add_handlers(app)
    app.add_middleware(CancelOnDisconnect)
    return app


def _operation_id(route: APIRoute) -> str:
    return route.name


def guarded(app: Starlette, settings: GatewaySettings, access: Access) -> ASGIApp:
    """An app behind all guards; the outermost sees a request first. Counts in the app's `state.metrics`, if it has any.

    The guards go around the whole app, not among its own middleware: answers to unexpected errors pass through them as well.
    """
    budget = Budget(settings.bodies_max_bytes)
    around: ASGIApp = BodyLimit(app, settings.body_max_bytes, settings.body_timeout_seconds, budget)
    around = KeyGuard(around, access)
    if not access.required:
        around = LoopbackGuard(around)
    around = AccessLog(around, getattr(app.state, "metrics", None))
    return ForwardedAddress(around) if settings.trust_proxy else around
