"""The files of the status page: what a browser reads of it before it shows anything."""

from __future__ import annotations

from importlib.resources import files

from starlette.responses import Response

#: The page, and what it loads, by path. Named one by one: what lies beside them is served to nobody.
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
_MEDIA_TYPES = {"css": "text/css", "html": "text/html", "js": "text/javascript"}
#: The page loads nothing from elsewhere, sends nothing elsewhere, and runs no text as code.
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
    """The file of a path of PAGE_FILES, as a browser is to take it. Raises KeyError for any other."""
    name = PAGE_FILES[path]
    media_type = _MEDIA_TYPES[name.rpartition(".")[2]]
    return Response((_FOLDER / name).read_bytes(), headers=_HEADERS, media_type=f"{media_type}; charset=utf-8")
