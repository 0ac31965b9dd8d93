"""What users talk to: fetches context from the retriever, then streams the generator's answer through."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
from fastapi import FastAPI, HTTPException, Response
from fastapi.responses import StreamingResponse

from meshslo.demo.settings import CHAT, RETRIEVE
from meshslo.telemetry import current_call

from .desk import Desk
from .generator import Chat
from .retriever import post


def build(desk: Desk) -> FastAPI:
    """The application of one replica."""
    app = FastAPI()

    @app.post(CHAT)
    async def chat(asked: Chat) -> Response:
        desk.counts["calls"] += 1
        current_call().set(model=asked.model, streaming=asked.stream)
        query = {"number": asked.number, "query": asked.messages[-1]["content"]}
        found = await post(desk.client("retriever"), RETRIEVE, query)
        prompt = asked.model_dump()
        prompt["messages"] = [{"role": "system", "content": " ".join(found.json()["documents"])}, *asked.messages]
        client = desk.client("generator")
        if asked.stream:
            return StreamingResponse(_relay(await _open(client, prompt)), media_type="text/event-stream")
        answer = await post(client, CHAT, prompt)
        return Response(answer.content, media_type="application/json")

    return app


async def _open(client: httpx.AsyncClient, prompt: dict[str, Any]) -> httpx.Response:
    """The generator's stream at its headers; a failure before them becomes 504 or 502, as in `retriever.post`."""
    try:
        answer = await client.send(client.build_request("POST", CHAT, json=prompt), stream=True)
    except httpx.TransportError as error:
        raise HTTPException(502, f"generator failed: {type(error).__name__}") from error
    if answer.is_success:
        return answer
    await answer.aclose()
    raise HTTPException(504 if answer.status_code == 504 else 502, f"generator answered {answer.status_code}")


async def _relay(answer: httpx.Response) -> AsyncIterator[bytes]:
    """The generator's bytes as they come. Its break breaks this answer too: the user must not take half for whole."""
    try:
        async for piece in answer.aiter_raw():
            yield piece
    finally:
        await answer.aclose()
