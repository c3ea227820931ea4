"""A stand-in upstream for the gateway's load test: one event loop that replies at once, with a share of faults.

Started by ``gateway_load.py`` as a process of its own. Its replies are a hash of the question and the seed. GET /log
tells how many requests it answered and the tokens it counted.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import sys

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

FAULTS = ("500", "503", "429", "cut")


def app(fault_share: float, delay: float) -> Starlette:
    counted = {"requests": 0, "faults": 0, "prompt_tokens": 0, "completion_tokens": 0}

    async def chat(request: Request) -> Response:
        body = await request.json()
        counted["requests"] += 1
        text = body["messages"][-1]["content"]
        number = int.from_bytes(hashlib.blake2b(f"{body.get('seed')}/{text}".encode(), digest_size=4).digest(), "big")
        if delay:
            await asyncio.sleep(delay)
        # By count, not by seed: the same request is answered the next time.
        if fault_share and counted["requests"] % round(1 / fault_share) == 0:
            counted["faults"] += 1
            fault = FAULTS[counted["faults"] % len(FAULTS)]
            if fault != "cut":
                return JSONResponse({"error": {"message": "fault"}}, int(fault))
            return Response(b'{"choices": [{"mess', media_type="application/json")
        usage = {"prompt_tokens": len(text.split()), "completion_tokens": 3}
        counted["prompt_tokens"] += usage["prompt_tokens"]
        counted["completion_tokens"] += usage["completion_tokens"]
        message = {"role": "assistant", "content": f"Answer: {number % 3}"}
        choice = {"index": 0, "message": message, "finish_reason": "stop", "stop_reason": None}
        return JSONResponse({"choices": [choice], "usage": usage})

    async def models(request: Request) -> Response:
        return JSONResponse({"object": "list", "data": [{"id": "toy", "owned_by": "vllm"}]})

    async def log(request: Request) -> Response:
        return JSONResponse(counted)

    return Starlette(
        routes=[Route("/v1/chat/completions", chat, methods=["POST"]), Route("/v1/models", models), Route("/log", log)]
    )


if __name__ == "__main__":
    import uvicorn

    port, share, delay = int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3])
    print(json.dumps({"port": port}), flush=True)
    uvicorn.run(
        app(share, delay), host="127.0.0.1", port=port, access_log=False, log_config=None, timeout_keep_alive=75
    )
