"""Paths that more than one part must know: of probes, of the status page's files, and of what needs no key."""

from __future__ import annotations

from importlib.resources import files

from starlette.responses import Response

#: The probe routes of all APIs: of the Open Inference Protocol, the router, the serving agent and the dispatcher.
HEALTH_PATHS = ("/v2/health/live", "/v2/health/ready", "/healthz", "/readyz", "/live", "/ready", "/health")
#: The page and the files it loads, by path. Listed one by one: other files in the folder are never served.
PAGE_FILES = {
    "/ui": "index.html",
    **{
        f"/ui/{name}": name
        for name in (
            "app.css",
            "app.js",
            "chart.js",
            "columns.js",
            "elements.js",
            "figures.js",
            "gateway.js",
            "job.js",
            "matrix.js",
            "overview.js",
            "table.js",
            "theme.js",
        )
    },
}
#: What needs no key: health, the API description, and the files of the pages that ask for a key themselves.
#: Listed one by one, so that no path is public because of its directory.
PUBLIC_PATHS = frozenset(
    {
        *HEALTH_PATHS,
        "/openapi.json",
        *PAGE_FILES,
    }
)
_MEDIA_TYPES = {"css": "text/css", "html": "text/html", "js": "text/javascript"}
#: The page loads nothing from other origins, sends nothing to them, and runs no text as code.
CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        *(f"{kind}-src 'self'" for kind in ("script", "style", "connect")),
        "img-src 'self' data:",
        *(f"{kind} 'none'" for kind in ("base-uri", "form-action", "frame-ancestors")),
    )
)
_HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}
_FOLDER = files("inference_engine.gateway") / "ui"


def page_file(path: str) -> Response:
    """The file of a path in PAGE_FILES, with its headers for a browser. Raises KeyError for any other path."""
    name = PAGE_FILES[path]
    media_type = _MEDIA_TYPES[name.rpartition(".")[2]]
    return Response((_FOLDER / name).read_bytes(), headers=_HEADERS, media_type=f"{media_type}; charset=utf-8")
