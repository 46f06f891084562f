"""Problems that routes of one kind may answer with, for their OpenAPI descriptions.

Those that any route may answer with, since guards and failure handlers surround all of them, are in `openapi`.
"""

from __future__ import annotations

from ..http.problems import responses

#: For a request with headers or a query.
LOOK = responses(400, 422)
#: For a request that names a label or a job, or posts a job that it does not wait for.
FIND = responses(400, 404, 422)
#: For a request that posts a job and waits for it.
RUN = responses(400, 404, 409, 422, 504)
