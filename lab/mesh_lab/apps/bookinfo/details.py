"""The details service: /details/ID."""

from __future__ import annotations

from typing import Any

from mesh_lab.apps.bookinfo.upstreams import json_response, not_found, product_id
from mesh_lab.apps.http.connection import Handler
from mesh_lab.apps.http.messages import Request, Response


def service() -> Handler:
    """The service's handler."""
    return answer


async def answer(request: Request) -> Response:
    """The book's facts; the same for every number, as in the published sample."""
    if request.path == "/health":
        return json_response({"status": "Details is healthy"})
    if request.path.startswith("/details/"):
        book = product_id(request.path, "/details")
        if book is None:
            return json_response({"error": "please provide numeric product id"}, 400)
        return json_response(details(book))
    return not_found(request)


def details(book: int) -> dict[str, Any]:
    """The facts of one book, under the published names."""
    return {
        "id": book,
        "author": "William Shakespeare",
        "year": 1595,
        "type": "paperback",
        "pages": 200,
        "publisher": "PublisherA",
        "language": "English",
        "ISBN-10": "1234567890",
        "ISBN-13": "123-1234567890",
    }
