"""The stock: how much there is of an item. VERSION says which version of the service this is."""

from __future__ import annotations

import os
from collections import Counter

from fastapi import FastAPI, HTTPException, Request

VERSION = os.environ.get("VERSION", "v1")
app = FastAPI()
attempts: Counter[str] = Counter()


@app.get("/healthz")
def healthz() -> dict[str, str]:
    """Answer that the service is well."""
    return {"status": "ok"}


@app.get("/stock/{item}")
def stock(item: str) -> dict[str, str | int]:
    """Tell how much there is of an item."""
    return {"item": item, "count": len(item), "version": VERSION}


@app.get("/shaky/{item}")
def shaky(item: str, request: Request) -> dict[str, str | int]:
    """The same, but the first attempt of each request fails at each pod."""
    identity = request.headers.get("x-request-id", "")
    attempts[identity] += 1
    if attempts[identity] == 1:
        raise HTTPException(503, "not this time")
    return stock(item)
