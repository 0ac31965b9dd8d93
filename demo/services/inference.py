"""An inference server with a trouble of its own: few slots, a slow machine, or answers that fail for a while."""

import asyncio
import random
from dataclasses import dataclass

from fastapi import FastAPI, HTTPException, Response
from fastapi.responses import StreamingResponse

from meshslo.demo.settings import CHAT
from meshslo.telemetry import current_call

from .desk import Desk
from .generator import Answer, Chat, events


@dataclass(frozen=True)
class Trouble:
    """What is wrong with a replica: its places in the batch, how much slower it is, and when which share of answers fails."""

    slots: float = 30
    slow_factor: float = 1.0
    fails_from_s: float = 0.0
    fails_until_s: float = 1e9
    fails_ratio: float = 0.0


@dataclass
class TroubledAnswer(Answer):
    """One generation in progress on a machine that may be slow."""

    slow_factor: float = 1.0

    async def work(self, work_s: float) -> None:
        """Sleep for `work_s`, longer on a slow machine."""
        await asyncio.sleep(work_s * self.slow_factor * self.desk.replica.pace)


def build(desk: Desk) -> FastAPI:
    """The application of one replica."""
    app = FastAPI()
    trouble = Trouble(**desk.replica.trouble)
    slots = asyncio.Semaphore(int(trouble.slots))
    dice = random.Random(desk.replica.name)

    @app.post(CHAT)
    async def chat(asked: Chat) -> Response:
        desk.counts["calls"] += 1
        call = current_call()
        call.set(model=asked.model, streaming=True)
        if desk.replica.provider:
            call.set(provider=desk.replica.provider)
        if trouble.fails_from_s <= desk.elapsed_s() < trouble.fails_until_s and dice.random() < trouble.fails_ratio:
            raise HTTPException(503, "the model is not loaded")
        answer = TroubledAnswer(desk, slots, asked, slow_factor=trouble.slow_factor)
        return StreamingResponse(events(answer), media_type="text/event-stream")

    return app
