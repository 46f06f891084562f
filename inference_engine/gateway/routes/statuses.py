"""Problems by which routes of one kind may answer, for their OpenAPI descriptions."""

from __future__ import annotations

from ..problems import responses

#: By keys, guards and AWS, to a request without parameters.
PLAIN = responses(401, 403, 429, 500, 503)
#: To one with headers, a query or a path.
LOOK = responses(400, 401, 403, 422, 429, 500, 503)
#: To one that names a label or a job.
FIND = responses(400, 401, 403, 404, 422, 429, 500, 503)
#: To one with a job in its body, which is not waited for.
SUBMIT = responses(400, 401, 403, 404, 408, 413, 422, 429, 500, 503)
#: To one with a job in its body, which is waited for.
RUN = responses(400, 401, 403, 404, 408, 409, 413, 422, 429, 500, 503, 504)
#: To a probe: a guard may refuse it, and it may be told that the gateway is not well.
PROBE = responses(403, 503)
