"""The ratings service: /ratings/ID; a POST there sets them, in memory.

SERVICE_VERSION chooses the published misbehaviours: v-faulty fails half of the requests, v-delayed holds half of them
for seven seconds, v-unavailable fails all of them in every other minute, v-unhealthy in every other quarter of an hour,
together with its health check. v2 takes the ratings from MongoDB, at MONGO_DB_URL.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import time
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

from mesh_lab.apps.bookinfo.mongo import MongoError, find
from mesh_lab.apps.bookinfo.upstreams import json_response, not_found, product_id
from mesh_lab.apps.http.connection import Handler
from mesh_lab.apps.http.messages import Request, Response
from mesh_lab.apps.service import log

DELAY_SECONDS = 7.0
DATABASE_SECONDS = 5.0
MAX_BOOKS = 1000
# How long the service is there, and then not, by the version that does so.
ABSENCES = {"v-unavailable": 60.0, "v-unhealthy": 900.0}
DEFAULT = {"Reviewer1": 5, "Reviewer2": 4}


def service() -> Handler:
    """The service's handler."""
    version = os.environ.get("SERVICE_VERSION", "v1")
    if version != "v2":
        return Ratings(version)
    if os.environ.get("DB_TYPE") == "mysql":
        raise SystemExit("ratings: DB_TYPE: the lab has no MySQL; without DB_TYPE the ratings come from MongoDB")
    return DatabaseRatings(os.environ)


class Ratings:
    """Ratings by book and reviewer."""

    def __init__(self, version: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._version = version
        self._clock = clock
        self._begun = clock()
        self._set: dict[int, dict[str, int]] = {}

    async def __call__(self, request: Request) -> Response:
        """Answer one request."""
        if request.path == "/health":
            if self._version == "v-unhealthy" and self._absent():
                return json_response({"status": "Ratings is not healthy"}, 500)
            return json_response({"status": "Ratings is healthy"})
        if not request.path.startswith("/ratings/"):
            return not_found(request)
        book = product_id(request.path, "/ratings")
        if book is None:
            return json_response({"error": "please provide numeric product ID"}, 400)
        if request.method == "POST":
            return self._post(book, request.body)
        if await self._fails():
            return json_response({"error": "Service unavailable"}, 503)
        return json_response({"id": book, "ratings": self._set.get(book, DEFAULT)})

    async def _fails(self) -> bool:
        if self._version == "v-faulty":
            return random.random() < 0.5
        if self._version == "v-delayed" and random.random() < 0.5:
            await asyncio.sleep(DELAY_SECONDS)
        return self._absent()

    def _absent(self) -> bool:
        period = ABSENCES.get(self._version)
        return period is not None and int((self._clock() - self._begun) // period) % 2 == 1

    def _post(self, book: int, body: bytes) -> Response:
        try:
            given = json.loads(body)
            stars = {str(name): int(value) for name, value in given.items()}
        except (ValueError, TypeError, AttributeError):
            return json_response({"error": "please provide valid ratings JSON"}, 400)
        if book not in self._set and len(self._set) >= MAX_BOOKS:
            return json_response({"error": f"this service remembers {MAX_BOOKS} books"}, 507)
        self._set[book] = stars
        return json_response({"id": book, "ratings": stars})


class DatabaseRatings:
    """Ratings from MongoDB: the first two documents of the collection `ratings` are the two reviewers'."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        place = urlsplit(environment.get("MONGO_DB_URL", "mongodb://mongodb:27017/test"))
        self._host, self._port = place.hostname or "mongodb", place.port or 27017
        # The published service opens the database of this name, whatever the URL says.
        self._database = "test"

    async def __call__(self, request: Request) -> Response:
        """Answer one request."""
        if request.path == "/health":
            return json_response({"status": "Ratings is healthy"})
        if not request.path.startswith("/ratings/"):
            return not_found(request)
        book = product_id(request.path, "/ratings")
        if book is None:
            return json_response({"error": "please provide numeric product ID"}, 400)
        if request.method == "POST":
            return json_response({"error": "Post not implemented for database backed ratings"}, 501)
        try:
            async with asyncio.timeout(DATABASE_SECONDS):
                documents = await find(self._host, self._port, self._database, "ratings")
        except (OSError, TimeoutError, MongoError, asyncio.IncompleteReadError) as error:
            log(f"ratings: {self._host}:{self._port}: {error}")
            return json_response({"error": "could not connect to ratings database"}, 500)
        stars = [int(document.get("rating", 0)) for document in documents]
        return json_response({"id": book, "ratings": dict(zip(DEFAULT, [*stars, 0, 0], strict=False))})
