"""Requests over HTTP, one after the other or at once, and what is reported of each."""

from __future__ import annotations

import os
import uuid
from dataclasses import replace
from typing import Any, Protocol

from mesh_lab.apps.http.answers import Answer, ApiError
from mesh_lab.apps.http.client import Client, parse_url
from mesh_lab.apps.traffic.plan import Plan
from mesh_lab.apps.traffic.versions import version_of

MAX_SHOWN_BODY = 64 * 1024
ID_HEADER = "x-request-id"

Result = dict[str, Any]


class Sender(Protocol):
    """Sends the requests of a plan."""

    async def __call__(self, index: int, /) -> Result:
        """Send the request of this number, from 0, and report what came of it."""

    def close(self) -> None:
        """Close its connections."""


class HttpSender:
    """Sends requests of a plan over one client.

    Raises:
        ValueError: the URL cannot be used, or a certificate to trust.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        try:
            origin, self._target = parse_url(plan.url)
        except ValueError as error:
            raise ValueError(f"url: {error}") from None
        self._client = Client(
            replace(origin, server_name=plan.server_name),
            http2=plan.http2,
            tls=_tls(plan) if origin.scheme == "https" else None,
            keep=not plan.new_connections,
            timeout=plan.timeout,
        )

    async def __call__(self, index: int, /) -> Result:
        """See Sender."""
        plan, headers = self._plan, dict(self._plan.headers)
        if plan.distinct_ids:
            headers[ID_HEADER] = str(uuid.uuid4())
        if plan.index_header:
            headers[plan.index_header] = str(index)
        request_id = {"id": headers[ID_HEADER]} if ID_HEADER in headers else {}
        try:
            answer = await self._client.request(plan.method, self._target, headers, plan.body)
        except ApiError as error:
            return {"status": 0, "error": error.kind, "detail": str(error), **request_id}
        return self.result(answer) | request_id

    def result(self, answer: Answer) -> Result:
        """What is reported of an answer."""
        result: Result = {
            "status": answer.status,
            "version": version_of(answer),
            "hostname": answer.headers.get("x-echo-hostname"),
            "protocol": answer.protocol,
            "bytes": len(answer.body),
        }
        if shown := self._plan.show_headers:
            result["headers"] = {name: answer.headers.get(name) for name in shown if name in answer.headers}
        if self._plan.show_body:
            result["body"] = self.text(answer)
        if answer.tls is not None:
            result["tls"] = answer.tls.version
            if self._plan.show_certificate:
                result["certificate"] = answer.tls.certificate
        return result

    def text(self, answer: Answer) -> str:
        """An answer's body as a text, or as much of it as is shown."""
        return answer.body[:MAX_SHOWN_BODY].decode("utf-8", "replace")

    def close(self) -> None:
        """See Sender."""
        self._client.close()


def _tls(plan: Plan) -> Any:
    import ssl  # asyncio has it already; named here since only https needs it

    try:
        context = ssl.create_default_context(cafile=plan.ca, cadata=plan.ca_pem)
    except OSError as error:  # SSLError is one
        raise ValueError(f"{'ca_pem' if plan.ca_pem else 'ca'}: cannot be used: {error.strerror or error}") from error
    if plan.certificate_pem is not None:
        _show(context, plan.certificate_pem)
    if plan.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if plan.tls_version:
        context.minimum_version = context.maximum_version = ssl.TLSVersion[plan.tls_version.replace(".", "_")]
    context.set_alpn_protocols(["h2"] if plan.http2 else ["http/1.1"])
    return context


def _show(context: Any, pem: str) -> None:
    """Load the client's certificate. Python's ssl reads it from a file only; this one is in memory, without a name."""
    descriptor = os.memfd_create("certificate", os.MFD_CLOEXEC)
    try:
        os.write(descriptor, pem.encode())
        context.load_cert_chain(f"/proc/self/fd/{descriptor}")
    except OSError as error:  # SSLError is one
        raise ValueError(f"certificate_pem: cannot be used: {error.strerror or error}") from error
    finally:
        os.close(descriptor)
