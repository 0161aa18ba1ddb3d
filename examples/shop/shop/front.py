"""The front: what people see. STOCK is the address of the stock."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
from fastapi import FastAPI, HTTPException, Request

STOCK = os.environ.get("STOCK", "http://stock:8080")
PASSED_ON = ("x-request-id", "traceparent", "tracestate", "x-user")
"""Headers by which the mesh knows that two requests belong together, and routes."""


@asynccontextmanager
async def connected(served: FastAPI) -> AsyncIterator[None]:
    """Keep the connections to the stock open from one request to the next."""
    async with httpx.AsyncClient(base_url=STOCK, timeout=5.0) as client:
        served.state.client = client
        yield


app = FastAPI(lifespan=connected)


@app.get("/healthz")
def healthz() -> dict[str, str]:
    """Answer that the service is well."""
    return {"status": "ok"}


@app.get("/")
async def home(request: Request) -> dict[str, Any]:
    """The page, with what the stock says of tea."""
    headers = {name: request.headers[name] for name in PASSED_ON if name in request.headers}
    answer = await app.state.client.get("/stock/tea", headers=headers)
    if answer.status_code != httpx.codes.OK:
        raise HTTPException(502, f"the stock answers {answer.status_code}")
    return {"page": "shop", "stock": answer.json()}
