"""KServe's client against a gateway; run by the interpreter of an environment that has it: `kserve_client.py URL LABEL`.

Prints what it saw as JSON. The package's own first module imports its whole server and Kubernetes, none of which the client
needs, so that it is left out.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import sys
import types
from typing import Any

package = types.ModuleType("kserve")
package.__path__ = importlib.util.find_spec("kserve").submodule_search_locations  # type: ignore[assignment, union-attr]
sys.modules["kserve"] = package

import httpx  # noqa: E402
import numpy as np  # noqa: E402
from kserve.inference_client import InferenceRESTClient, RESTConfig  # noqa: E402
from kserve.protocol.infer_type import InferInput, InferRequest, RequestedOutput  # noqa: E402

NUMBERS = np.array([[1.5, -2.0], [0.0, 4.0]], np.float32)
STRINGS = np.array(["é", "", "b"], object)


def inputs(*, binary: bool) -> list[Any]:
    tensors = [InferInput("X", [2, 2], "FP32"), InferInput("S", [3], "BYTES"), InferInput("E", [0], "INT8")]
    for tensor, array in zip(tensors, (NUMBERS, STRINGS, np.zeros(0, np.int8)), strict=True):
        tensor.set_data_from_numpy(array, binary_data=binary)
    return tensors


async def infer(client: Any, url: str, label: str, *, binary: bool) -> dict[str, Any]:
    wanted = [RequestedOutput("X", {"binary_data": binary}), RequestedOutput("S")]
    request = InferRequest(label, inputs(binary=binary), request_id="mine", request_outputs=wanted)
    answer = await client.infer(url, request, model_name=label)
    found = {output.name: output.as_numpy() for output in answer.outputs}
    return {
        "id": answer.id,
        "model": answer.model_name,
        "X": bool(np.array_equal(found["X"], NUMBERS)),
        "S": [item.decode() if isinstance(item, bytes) else item for item in found["S"].tolist()],
    }


async def main(url: str, label: str) -> None:
    async with InferenceRESTClient(RESTConfig(protocol="v2")) as client:
        seen: dict[str, Any] = {
            "live": await client.is_server_live(url),
            "ready": await client.is_server_ready(url),
            "unknown_ready": await client.is_model_ready(url, "nobody-knows"),
            "json": await infer(client, url, label, binary=False),
            "binary": await infer(client, url, label, binary=True),
        }
        for _ in range(200):
            if await client.is_model_ready(url, label):
                seen["model_ready"] = True
                break
            await asyncio.sleep(0.05)
        try:
            await client.infer(url, {"inputs": 5}, model_name=label)
        except httpx.HTTPStatusError as error:
            seen["refused"] = error.response.status_code
    print(json.dumps(seen))


asyncio.run(main(*sys.argv[1:]))
