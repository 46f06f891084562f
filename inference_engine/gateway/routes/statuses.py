"""Problems by which routes of one kind may answer, for their OpenAPI descriptions; beside those that every route has.

What every route has, as guards and failures stand around all of them, is in `openapi`.
"""

from __future__ import annotations

from ..problems import responses

#: To a request with headers or a query.
LOOK = responses(400, 422)
#: To one that names a label or a job, or has a job in its body, which is not waited for.
FIND = responses(400, 404, 422)
#: To one with a job in its body, which is waited for.
RUN = responses(400, 404, 409, 422, 504)
