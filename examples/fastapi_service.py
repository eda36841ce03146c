"""An HTTP service in front of a model server: recommendations for your own pages.

pip install dualtower fastapi uvicorn
dualtower serve demo/bundle --port 8500
DUALTOWER_ADDRESS=localhost:8500 uvicorn --app-dir examples fastapi_service:app
curl 'localhost:8000/recommend?item=rye+bread&k=3'
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import FastAPI, HTTPException, Query, Request

from dualtower.errors import UsageError
from dualtower_clients import (
    AsyncRecommender,
    CallPolicy,
    HedgePolicy,
    RequestError,
    RetryableError,
)

ADDRESSES = os.environ.get("DUALTOWER_ADDRESS", "localhost:8500").split(",")
LABEL = os.environ.get("DUALTOWER_LABEL")  # "stable", where `dualtower rollout` moves it


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """One client for the whole process: it keeps its connections, and checks the pair once."""
    async with AsyncRecommender(
        ADDRESSES,
        label=LABEL,
        timeout_s=0.5,  # of a call with its retries; a page does not wait longer
        wait_s=60.0,  # for a server that still loads
        policy=CallPolicy(hedge=HedgePolicy()),  # a second replica, when the first one is slow
    ) as recommender:
        app.state.recommender = recommender
        yield


app = FastAPI(title="recommendations", lifespan=lifespan)


@app.get("/recommend")
async def recommend(
    request: Request,
    item: Annotated[list[str] | None, Query(description="most recent first")] = None,
    exclude: Annotated[list[str] | None, Query()] = None,
    k: Annotated[int, Query(ge=1, le=100)] = 10,
) -> dict[str, object]:
    """The best items for a history of texts; without one, for somebody who is not known."""
    recommender: AsyncRecommender = request.app.state.recommender
    try:
        best = await recommender.recommend(item or [], k=k, exclude=exclude or [])
    except (UsageError, RequestError) as error:
        raise HTTPException(422, str(error)) from error
    except RetryableError as error:  # nobody answered in time: the page shows something else
        raise HTTPException(503, str(error), headers={"Retry-After": "1"}) from error
    return {
        "items": [
            {"item_id": item_id, "score": float(score)}
            for item_id, score in zip(best.item_ids, best.scores, strict=True)
        ],
        "version": best.version,
        "fingerprint": best.fingerprint,
    }


@app.get("/ready")
async def ready(request: Request) -> dict[str, object]:
    """Whether all three models answer, and of which bundle they are."""
    recommender: AsyncRecommender = request.app.state.recommender
    try:
        found = await recommender.describe()
    except RetryableError as error:
        raise HTTPException(503, str(error)) from error
    return {name: one.fingerprint for name, one in found.items()}
