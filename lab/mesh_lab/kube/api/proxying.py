"""`pods/NAME:PORT/proxy` and `services/NAME:PORT/proxy`: HTTP into the cluster, through the API server.

Of `nodes/NAME/proxy` there is `stats/summary`, what a kubelet tells of the usage of its pods.

Bodies are streamed both ways. The caller's credentials stop here; what is behind the proxy sees none of them.
https://kubernetes.io/docs/tasks/access-application-cluster/access-cluster-services/
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import Any

from aiohttp import ClientError, ClientSession, ClientTimeout, DummyCookieJar, TCPConnector, web
from multidict import CIMultiDict
from yarl import URL

from mesh_lab.kube.api.context import STREAMS, Call
from mesh_lab.kube.errors import ApiError, bad_request
from mesh_lab.kube.registry.kinds import behaviour_of
from mesh_lab.kube.resources import NODES
from mesh_lab.rfc3339 import micro_timestamp

CLIENT: web.AppKey[ClientSession] = web.AppKey("client", ClientSession)

_CONNECT_SECONDS = 10.0
_CHUNK = 64 * 1024
_SUMMARY = "stats/summary"
_HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
_NOT_FORWARDED = _HOP_BY_HOP | {"authorization", "host", "content-length", "expect"}


async def client_session(app: web.Application) -> AsyncIterator[None]:
    """Hold one HTTP client for proxying."""
    connector = TCPConnector(limit=0, keepalive_timeout=5)
    async with ClientSession(
        connector=connector,
        cookie_jar=DummyCookieJar(),
        auto_decompress=False,
        timeout=ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS),
    ) as session:
        app[CLIENT] = session
        yield


async def proxy(call: Call) -> web.StreamResponse:
    """Proxy a request and its answer.

    Raises:
        ApiError: 503, the backend does not answer.
    """
    if call.resource.key == NODES.key and call.target.rest.rstrip("/") == _SUMMARY:
        return web.json_response(_summary(call))
    scheme, name, port = split_name(call.name)
    address = behaviour_of(call.resource).backend(call.registry.store, call.namespace, name, port)
    request = call.request
    query = f"?{request.rel_url.raw_query_string}" if request.rel_url.raw_query_string else ""
    url = URL(f"{scheme}://{address}/{call.target.rest}{query}", encoded=True)
    body = request.content.iter_chunked(_CHUNK) if request.can_read_body else None
    response: web.StreamResponse | None = None
    try:
        async with request.app[CLIENT].request(
            request.method, url, headers=_request_headers(request), data=body, allow_redirects=False, ssl=False
        ) as answer:
            response = web.StreamResponse(status=answer.status, reason=answer.reason)
            response.headers.extend(_kept(answer.headers.items(), _HOP_BY_HOP))
            await response.prepare(request)
            async for chunk in answer.content.iter_any():
                await response.write(chunk)
            return response
    except (ClientError, TimeoutError, OSError) as error:
        if response is not None:
            # The answer has begun: close the connection, so that the caller sees that it is incomplete.
            raise ConnectionResetError("the answer was cut off") from error
        why = str(error) or type(error).__name__
        raise ApiError(503, "ServiceUnavailable", f"error trying to reach service: {why}") from error


def _summary(call: Call) -> dict[str, Any]:
    """The node's pods in the words of a kubelet's `/stats/summary`."""
    call.registry.get(NODES, call.name)
    now = micro_timestamp()
    pods = [
        {
            "podRef": {"name": pod.name, "namespace": pod.namespace, "uid": pod.uid},
            "containers": [
                {
                    "name": name,
                    "cpu": {"time": now, "usageCoreNanoSeconds": used.cpu_ns},
                    "memory": {"time": now, "rssBytes": used.memory},
                }
                for name, used in pod.containers.items()
            ],
        }
        for pod in call.request.app[STREAMS].usage()
    ]
    return {"node": {"nodeName": call.name}, "pods": pods}


def split_name(text: str) -> tuple[str, str, str | None]:
    """Return (scheme, name, port) of a proxy's `[SCHEME:]NAME[:PORT]`; the scheme is `http` by default.

    Raises:
        ApiError: 400, the text has another form.
    """
    parts = text.split(":")
    if len(parts) == 3 and parts[0] in ("http", "https", ""):
        scheme, name, port = parts
    elif len(parts) <= 2:
        scheme, name, port = "http", parts[0], parts[1] if len(parts) == 2 else ""
    else:
        raise bad_request(f'invalid proxy request "{text}": expected [http:|https:]NAME[:PORT]')
    return scheme or "http", name, port or None


def _request_headers(request: web.Request) -> CIMultiDict[str]:
    headers = CIMultiDict(_kept(request.headers.items(), _NOT_FORWARDED))
    if request.content_length is not None and request.can_read_body:
        headers["Content-Length"] = str(request.content_length)
    headers.add("X-Forwarded-Host", request.host)
    headers.add("X-Forwarded-Proto", "https")
    headers.add("X-Forwarded-Uri", request.rel_url.raw_path)
    if request.remote:
        headers.add("X-Forwarded-For", request.remote)
    return headers


def _kept(headers: Iterable[tuple[str, str]], dropped: frozenset[str]) -> list[tuple[str, str]]:
    return [
        (key, value)
        for key, value in headers
        if key.lower() not in dropped and not key.lower().startswith("impersonate-")
    ]
