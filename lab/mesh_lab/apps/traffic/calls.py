"""Calls of gRPC with one message each way, and what is reported of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from urllib.parse import unquote

from mesh_lab.apps.grpc import wire
from mesh_lab.apps.grpc.framing import CONTENT_TYPE, FramingError, framed, unframed
from mesh_lab.apps.http.answers import Answer
from mesh_lab.apps.traffic.plan import Plan
from mesh_lab.apps.traffic.requests import MAX_SHOWN_BODY, HttpSender, Result

SCHEMES: Mapping[str, str] = {"grpc": "http", "grpcs": "https"}


class GrpcSender(HttpSender):
    """Calls the method that the URL's path names: grpc://HOST:PORT/PACKAGE.SERVICE/METHOD.

    The plan's body is the text of a `google.protobuf.StringValue`; without one it is the empty message, which any
    method takes.

    Raises:
        ValueError: as HttpSender, or the path names no method.
    """

    def __init__(self, plan: Plan) -> None:
        scheme, rest = plan.url.split("://", 1)
        service, _, method = rest.partition("/")[2].partition("/")
        if not service or not method or "/" in method:
            raise ValueError(f"url: {plan.url!r} is not of the form {scheme}://HOST:PORT/PACKAGE.SERVICE/METHOD")
        super().__init__(
            replace(
                plan,
                url=f"{SCHEMES[scheme]}://{rest}",
                method="POST",
                headers={**plan.headers, "content-type": CONTENT_TYPE, "te": "trailers"},
                body=framed(wire.encode({1: plan.body})),
                http2=True,
            )
        )

    def result(self, answer: Answer) -> Result:
        """See HttpSender; a call has a status of gRPC's beside that of HTTP, or its server broke the protocol."""
        fields = answer.trailers if "grpc-status" in answer.trailers else answer.headers
        status = fields.get("grpc-status")
        if answer.status == 200 and not status.isdigit():
            return {"status": 0, "error": "protocol", "detail": "protocol: an answer without a grpc-status"}
        result = {**super().result(answer), "protocol": "gRPC"}
        if status.isdigit():
            result["grpc_status"] = int(status)
        if message := fields.get("grpc-message"):
            result["detail"] = unquote(message)
        return result

    def text(self, answer: Answer) -> str:
        """The text in a StringValue, which the echo server answers with; empty for any other message."""
        try:
            return wire.text(wire.decode(unframed(answer.body)), 1)[:MAX_SHOWN_BODY]
        except (FramingError, wire.WireError):
            return ""
