"""Examples of the status page's data, for the description of the API."""

from __future__ import annotations

from typing import Any

_STATUS_DATA: dict[str, Any] = {
    "deployment": "inference-engine",
    "now": 1_769_860_800.0,
    "ready": True,
    "paused": False,
    "overview": {
        "at": 1_769_860_799.5,
        "totals": {
            "consumers": 1,
            "draining": 0,
            "slots": 2,
            "free_slots": 1,
            "labels_with_work": 1,
            "unserved": 0,
            "failing": 0,
            "visible": 3,
            "in_flight": 1,
            "backlog_seconds": 0.4,
            "oldest_age_seconds": 0.5,
            "jobs_per_second": 10.0,
            "jobs": 1200,
            "misses": 1,
            "misses_per_job": 0.000833,
        },
        "labels": [
            {
                "label": "resnet50",
                "state": "loaded",
                "visible": 3,
                "in_flight": 1,
                "oldest_age_seconds": 0.5,
                "backlog_seconds": 0.4,
                "hosts": 1,
                "lanes": 1,
                "jobs_per_second": 10.0,
                "busy": 0.9,
                "task_seconds": 0.1,
                "service_seconds": 0.1,
                "load_seconds": 4.2,
                "failure": None,
                "needs_attention": False,
            }
        ],
        "consumers": [
            {
                "consumer_id": "worker-1",
                "state": "alive",
                "slots": 2,
                "free_slots": 1,
                "in_flight": 1,
                "jobs": 1200,
                "misses": 1,
                "jobs_per_second": 10.0,
                "lease_seconds_left": 12.5,
                "loaded": {"resnet50": {"jobs": 1200, "jobs_per_second": 10.0}},
                "loading": [],
            }
        ],
        "unread": [],
    },
    "gateway": {
        "process": "gateway-1/7",
        "waiting": 2,
        "in_flight": 4,
        "bands": [{"priority": 0, "requests": 2, "bytes": 2048}],
        "outcomes": {"dispatched": 1200},
        "latency_ms": {"p50": 110.0, "p95": 180.0, "p99": 420.0, "count": 1000},
    },
}

_JOB: dict[str, Any] = {
    "message_id": "4a1e2b8c-0f5d-4a0e-9d58-2b1f6d1c7e55",
    "request_id": "task-1",
    "label": "resnet50",
    "status": "SUCCESS",
    "submitted_at": 1_769_860_800.0,
    "started_at": 1_769_860_800.1,
    "finished_at": 1_769_860_800.35,
    "error": None,
    "result": '{"label":"cat"}',
    "result_cut": False,
}

_CANCELLED_JOB: dict[str, Any] = _JOB | {
    "status": "CANCELLED",
    "started_at": None,
    "finished_at": 1_769_860_800.2,
    "result": None,
}

#: By the operation that returns them.
STATUS_EXAMPLES = {"status_data": _STATUS_DATA, "status_job": _JOB, "status_cancel_job": _CANCELLED_JOB}
