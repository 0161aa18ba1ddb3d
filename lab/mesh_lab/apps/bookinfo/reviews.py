"""The reviews service: /reviews/ID. Version v1 has no stars, v2 black ones, v3 red ones.

The version comes from SERVICE_VERSION (the image's name, in the lab); ENABLE_RATINGS and STAR_COLOR override
it as in the published sample. Its timeout for the ratings service is the published one, which the lessons on delays
rely on: 10 s with black stars, 2.5 s with any other.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Mapping
from typing import Any

from mesh_lab.apps.bookinfo.upstreams import Upstream, json_response, not_found, product_id, propagated
from mesh_lab.apps.http.answers import ApiError
from mesh_lab.apps.http.connection import Handler
from mesh_lab.apps.http.messages import Request, Response

STARS = {"v1": "", "v2": "black", "v3": "red"}
TEXTS = {
    "Reviewer1": "I laughed on nearly every page. The twins, the mix-ups, the chain: not a scene too many.",
    "Reviewer2": "Quick, loud and good fun. Whoever looks for the depth of the later plays will not find it here.",
}


def service() -> Handler:
    """The service's handler."""
    return Reviews(os.environ)


class Reviews:
    """The reviews, with stars where the version has them."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        colour = STARS.get(environment.get("SERVICE_VERSION", "v1"), "")
        self.colour = environment.get("STAR_COLOR", colour or "black")
        self.rated = environment.get("ENABLE_RATINGS", "true" if colour else "false").lower() == "true"
        self.podname = environment.get("HOSTNAME") or socket.gethostname()
        self.clustername = environment.get("CLUSTER_NAME", "null")
        self._ratings = Upstream("ratings", 10.0 if self.colour == "black" else 2.5, environment)

    async def __call__(self, request: Request) -> Response:
        """Answer one request."""
        if request.path == "/health":
            return json_response({"status": "Reviews is healthy"})
        book = product_id(request.path, "/reviews")
        if book is None:
            return not_found(request)
        stars = await self._stars(book, propagated(request)) if self.rated else None
        reviews = [self._review(name, text, stars) for name, text in TEXTS.items()]
        return json_response(
            {"id": str(book), "podname": self.podname, "clustername": self.clustername, "reviews": reviews}
        )

    async def _stars(self, book: int, headers: Mapping[str, str]) -> dict[str, int]:
        """Stars by reviewer; empty when the ratings service does not give them."""
        try:
            answer = await self._ratings.get(f"/ratings/{book}", headers)
            if answer.status != 200:
                return {}
            return {str(name): int(value) for name, value in json.loads(answer.body)["ratings"].items()}
        except (ApiError, ValueError, KeyError, AttributeError):
            return {}

    def _review(self, name: str, text: str, stars: dict[str, int] | None) -> dict[str, Any]:
        review: dict[str, Any] = {"reviewer": name, "text": text}
        if stars is None:
            return review
        if name in stars:
            return review | {"rating": {"stars": stars[name], "color": self.colour}}
        return review | {"rating": {"error": "Ratings service is currently unavailable"}}
