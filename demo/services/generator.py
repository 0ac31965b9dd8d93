"""A simulated inference server: prefill, then tokens at the model's pace, in a batch of limited size. Sleeps; burns no CPU."""

import asyncio
import json
import random
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Final

from fastapi import FastAPI, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

from meshslo.demo.disturbances import RESET_RATIO, SLOW_FACTOR, SLOW_REPLICAS
from meshslo.demo.settings import CHAT
from meshslo.telemetry import current_call

from .desk import Desk


@dataclass(frozen=True)
class Model:
    """How fast a model is, and how many tokens it sends in one chunk."""

    prefill_s_per_token: float
    token_s: float
    tokens_per_chunk: int


MODELS: Final = {"small": Model(1.2e-4, 0.018, 4), "large": Model(2.4e-4, 0.036, 2)}
BATCH_SLOTS = 30
DONE = b"data: [DONE]\n\n"


class Chat(BaseModel):
    """The part of OpenAI's chat-completions request that the simulation reads."""

    model: str
    messages: list[dict[str, str]]
    stream: bool = False
    metadata: dict[str, str]

    @property
    def number(self) -> int:
        """Which request of the load this is: seeds the simulation, so that runs compare."""
        return int(self.metadata["number"])


@dataclass
class Answer:
    """One generation in progress."""

    desk: Desk
    slots: asyncio.Semaphore
    chat: Chat
    made_tokens: int = 0

    async def chunks(self) -> AsyncGenerator[int, None]:
        """Yield the number of tokens of each chunk as it is made; waits for a place in the batch first."""
        model = MODELS[self.chat.model]
        dice = random.Random(self.chat.number)
        wanted = int(self.chat.metadata["answer_tokens"])
        async with self.slots:
            await self.work(model.prefill_s_per_token * int(self.chat.metadata["prompt_tokens"]))
            while self.made_tokens < wanted:
                size = min(model.tokens_per_chunk, wanted - self.made_tokens)
                await self.work(model.token_s * size * dice.uniform(0.6, 1.4))
                self.made_tokens += size
                self.desk.counts["tokens"] += size
                yield size

    async def work(self, work_s: float) -> None:
        """Sleep for `work_s`, longer while this replica is slow."""
        replica = self.desk.replica
        slow = SLOW_REPLICAS.get(replica.name)
        factor = SLOW_FACTOR["generator"] if slow and slow.holds(self.desk.elapsed_s()) else 1.0
        await asyncio.sleep(work_s * factor * replica.pace)

    def usage(self) -> dict[str, int]:
        """The answer's token counts, as OpenAI words them."""
        return {"prompt_tokens": int(self.chat.metadata["prompt_tokens"]), "completion_tokens": self.made_tokens}


def build(desk: Desk) -> FastAPI:
    """The application of one replica."""
    app = FastAPI()
    slots = asyncio.Semaphore(BATCH_SLOTS)
    dice = random.Random(desk.replica.name)

    @app.post(CHAT)
    async def chat(asked: Chat, request: Request) -> Response:
        desk.counts["calls"] += 1
        if asked.metadata["poison"] == "1" or dice.random() < RESET_RATIO:
            request.scope["demo.drop"]()
            raise ConnectionResetError("the worker died before it answered")
        answer = Answer(desk, slots, asked)
        if asked.stream:
            return StreamingResponse(events(answer), media_type="text/event-stream")
        return await _whole(answer)

    return app


async def _whole(answer: Answer) -> Response:
    call = current_call()
    try:
        async with aclosing(answer.chunks()) as sizes:
            words = [f"word{size} " async for size in sizes]
    finally:
        call.set(**_tokens(answer))
    body = {"object": "chat.completion", "choices": [{"message": {"content": "".join(words)}}], "usage": answer.usage()}
    return Response(json.dumps(body), media_type="application/json")


async def events(answer: Answer) -> AsyncIterator[bytes]:
    """Server-sent events in OpenAI's shape: a role-only delta at once, the content as it is made, usage, [DONE]."""
    call = current_call()
    try:
        yield _event({"choices": [{"delta": {"role": "assistant"}}]})
        async with aclosing(answer.chunks()) as sizes:
            async for size in sizes:
                yield _event({"choices": [{"delta": {"content": "word " * size}}]})
        yield _event({"choices": [{"delta": {}, "finish_reason": "stop"}], "usage": answer.usage()})
        yield DONE
    finally:
        call.set(**_tokens(answer))


def _event(data: dict[str, Any]) -> bytes:
    return f"data: {json.dumps(data)}\n\n".encode()


def _tokens(answer: Answer) -> dict[str, Any]:
    usage = answer.usage()
    return {"input_tokens": usage["prompt_tokens"], "output_tokens": usage["completion_tokens"]}
