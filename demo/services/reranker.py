"""Scores documents: a few tens of milliseconds, and six times that while its slow replica is slow."""

import asyncio
import random

from fastapi import FastAPI
from pydantic import BaseModel

from meshslo.demo.disturbances import SLOW_FACTOR, SLOW_REPLICAS
from meshslo.demo.settings import RERANK

from .desk import Desk

MEDIAN_S = 0.06
SPREAD = 0.45


class Documents(BaseModel):
    """What to rank, for which request."""

    number: int
    query: str
    documents: list[str]


def build(desk: Desk) -> FastAPI:
    """The application of one replica."""
    app = FastAPI()
    slow = SLOW_REPLICAS.get(desk.replica.name)

    @app.post(RERANK)
    async def rerank(asked: Documents) -> dict[str, list[int]]:
        desk.counts["calls"] += 1
        work_s = MEDIAN_S * random.Random(asked.number).lognormvariate(0, SPREAD)
        if slow and slow.holds(desk.elapsed_s()):
            work_s *= SLOW_FACTOR["reranker"]
        await asyncio.sleep(work_s)
        return {"order": list(range(len(asked.documents)))}

    return app
