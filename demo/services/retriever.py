"""Finds documents for a query and has them reranked."""

import asyncio
import random

import httpx
from fastapi import FastAPI, HTTPException
from pydantic import BaseModel

from meshslo.demo.settings import RERANK, RETRIEVE

from .desk import Desk

MEDIAN_S = 0.03
SPREAD = 0.4
DOCUMENTS = 8


class Query(BaseModel):
    """What a user asked."""

    number: int
    query: str


def build(desk: Desk) -> FastAPI:
    """The application of one replica."""
    app = FastAPI()

    @app.post(RETRIEVE)
    async def retrieve(asked: Query) -> dict[str, list[str]]:
        desk.counts["calls"] += 1
        search_s = MEDIAN_S * random.Random(asked.number).lognormvariate(0, SPREAD)
        await asyncio.sleep(search_s)
        found = [f"document {rank}" for rank in range(DOCUMENTS)]
        ranked = await post(desk.client("reranker"), RERANK, {**asked.model_dump(), "documents": found})
        return {"documents": [found[rank] for rank in ranked.json()["order"]]}

    return app


async def post(
    client: httpx.AsyncClient, path: str, body: dict[str, object], headers: dict[str, str] | None = None
) -> httpx.Response:
    """The callee's good answer; its failure becomes 504 where a timer cut it and 502 otherwise."""
    try:
        answer = await client.post(path, json=body, headers=headers)
    except httpx.TransportError as error:
        raise HTTPException(502, f"{path} failed: {type(error).__name__}") from error
    if answer.is_success:
        return answer
    raise HTTPException(504 if answer.status_code == 504 else 502, f"{path} answered {answer.status_code}")
