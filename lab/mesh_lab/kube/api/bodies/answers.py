"""Encodes answers as JSON, and decodes requests' bodies from JSON, YAML or protobuf."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import orjson
from aiohttp import web
from multidict import CIMultiDict

from mesh_lab.kube import heavy
from mesh_lab.kube.api.bodies import duplicates, protobuf
from mesh_lab.kube.api.bodies.negotiation import JSON
from mesh_lab.kube.errors import ApiError, bad_request

_YAML_TYPES = frozenset({"application/yaml", "application/apply-patch+yaml"})
_JSON_TYPES = frozenset({JSON, "text/plain", "application/octet-stream", ""})
"""Types that are read as JSON, because curl and aiohttp send them by default."""
_PIECE = 256 * 1024
BODY_SECONDS = 60.0
"""The time limit of a body: that of a request on a real server."""
_WARNINGS_LIMIT, _WARNING_LIMIT = 4096, 256
"""The limits of a real API server: characters of all warnings, and of each when all together are too long."""
DEPTH_LIMIT = 254
"""How deep lists and objects may be nested: orjson writes no deeper ones."""


def json_response(
    value: Any, *, status: int = 200, warnings: Iterable[str] = (), content_type: str = JSON
) -> web.Response:
    """Return the value as JSON, with a `Warning` header for each warning."""
    return web.Response(body=orjson.dumps(value), status=status, headers=headers_of(content_type, warnings))


def headers_of(content_type: str, warnings: Iterable[str] = ()) -> CIMultiDict[str]:
    """Return the headers of an answer, with a `Warning` for each warning."""
    headers: CIMultiDict[str] = CIMultiDict()
    headers["Content-Type"] = content_type
    headers["Cache-Control"] = "no-cache, private"
    for warning in _bounded(warnings):
        headers.add("Warning", f"299 - {_quoted(warning)}")
    return headers


async def list_response(
    request: web.Request, head: Mapping[str, Any], items: Iterable[Any], warnings: Iterable[str] = ()
) -> web.StreamResponse:
    """Answer with a list, whose `items` follow what is in `head`.

    A large one is written in pieces, between which other requests are served.
    """
    parts: list[bytes] = []
    size = since = 0
    for item in items:
        parts.append(orjson.dumps(item))
        since += len(parts[-1])
        if since > _PIECE:
            size, since = size + since, 0
            await asyncio.sleep(0)
    begin = orjson.dumps(head)[:-1] + b',"items":['
    empty = json_response(None, warnings=warnings)
    if not size or request.method == "HEAD":
        empty.body = begin + b",".join(parts) + b"]}"
        return empty
    response = web.StreamResponse(headers=empty.headers)
    response.content_length = len(begin) + size + since + len(parts) - 1 + len(b"]}")
    await response.prepare(request)
    pending, joint = bytearray(begin), b""
    for part in parts:
        pending += joint + part
        joint = b","
        if len(pending) > _PIECE:
            await response.write(bytes(pending))
            pending.clear()
            await asyncio.sleep(0)
    await response.write(bytes(pending) + b"]}")
    return response


def error_response(error: ApiError, warnings: Iterable[str] = ()) -> web.Response:
    """Answer with the `Status` of a failed request."""
    response = json_response(error.status(), status=error.code, warnings=warnings)
    if error.code == 429:
        response.headers["Retry-After"] = str(error.details.get("retryAfterSeconds", 1))
    return response


async def read_body(request: web.Request) -> bytes:
    """Read the request's whole body.

    Raises:
        ApiError: 408 when it times out, 413 when it exceeds the app's limit.
    """
    if (request.content_length or 0) > request.app._client_max_size:
        raise too_large(request.app._client_max_size)
    try:
        async with asyncio.timeout(BODY_SECONDS):
            body = await request.read()
    except TimeoutError as error:
        raise ApiError(408, "Timeout", f"the body of the request did not come within {BODY_SECONDS:.0f} s") from error
    except web.RequestPayloadError as error:
        raise bad_request("the body is not in the encoding that its headers name") from error
    except web.HTTPRequestEntityTooLarge as error:
        raise too_large(request.app._client_max_size) from error
    heavy.BODY_BYTES.set(len(body))
    return body


def too_large(limit: int) -> ApiError:
    """413: the body is larger than allowed."""
    return ApiError(413, "RequestEntityTooLarge", f"Request entity too large: limit is {limit}", details={})


async def read_object(request: web.Request) -> dict[str, Any]:
    """Read the object in the request's body.

    Raises:
        ApiError: 400 when the body is not an object, 413 when it is too large, 415 for an unknown media type.
    """
    value, _ = await read_checked(request)
    return value


async def read_checked(request: web.Request) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Read the object in the request's body, and the paths of its duplicate fields.

    Raises:
        ApiError: as for `read_object`.
    """
    body, media = await read_body(request), media_type(request)
    value = await heavy.run(len(body), decode, body, media)
    if not isinstance(value, dict):
        raise bad_request("the object provided is unrecognized: the body is not an object")
    return value, await heavy.run(len(body), repeated, body, value, media)


def repeated(body: bytes, value: Any, media: str) -> tuple[str, ...]:
    """Return the paths of the duplicate fields of a decoded JSON body."""
    return duplicates.find(body, value) if media in _JSON_TYPES or media.endswith("+json") else ()


def media_type(request: web.Request) -> str:
    """Return the body's media type without parameters, in lower case; empty when there is none."""
    return request.headers.get("Content-Type", "").partition(";")[0].strip().lower()


def decode(body: bytes, media: str) -> Any:
    """Decode a body of the media type.

    Raises:
        ApiError: 400 when the body cannot be decoded, 415 for an unknown media type.
    """
    if media == protobuf.MEDIA_TYPE:
        try:
            return protobuf.decode(body)
        except protobuf.ProtobufError as error:
            raise bad_request(f"the protobuf body cannot be read: {error}") from error
    if media in _YAML_TYPES:
        return _yaml(body)
    if media in _JSON_TYPES or media.endswith("+json"):
        return _json(body)
    raise unsupported(media, (JSON, "application/yaml", protobuf.MEDIA_TYPE))


def unsupported(media: str, accepted: Iterable[str]) -> ApiError:
    """415: bodies of this type are not supported."""
    return ApiError(
        415,
        "UnsupportedMediaType",
        f"the body of the request was in an unknown format - accepted media types include: {', '.join(accepted)}"
        + (f"; got {ascii(media)[1:-1]}" if media else ""),
    )


def list_of(kind: str, api_version: str, items: list[Any], metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return a list object; `kind` is that of the items."""
    return {"kind": f"{kind}List", "apiVersion": api_version, "metadata": dict(metadata), "items": items}


def _json(body: bytes) -> Any:
    try:
        value = orjson.loads(body)
        # orjson reads deeper values than it writes.
        if body.count(b"{") + body.count(b"[") >= DEPTH_LIMIT:
            orjson.dumps(value)
    except orjson.JSONDecodeError as error:
        raise bad_request(f"the body is not valid JSON: {error}") from error
    except orjson.JSONEncodeError as error:
        raise bad_request(f"the body is nested too deeply: {DEPTH_LIMIT} levels are the most") from error
    return value


def _yaml(body: bytes) -> Any:
    try:
        return _json(body)
    except ApiError:
        pass
    from mesh_lab.kube.api.bodies import from_yaml

    try:
        return from_yaml.decode(body)
    except from_yaml.YamlBodyError as error:
        raise bad_request(f"the body is not valid YAML: {error}") from error


def _bounded(warnings: Iterable[str]) -> Iterator[str]:
    """Return the warnings that fit into an answer's headers: long ones are cut when all together are too long."""
    texts = list(warnings)
    cut = sum(map(len, texts)) > _WARNINGS_LIMIT
    left = _WARNINGS_LIMIT
    for text in texts:
        shown = text[:_WARNING_LIMIT] if cut else text
        left -= len(shown)
        if left < 0:
            return
        yield shown


def _quoted(text: str) -> str:
    r"""An HTTP quoted string: one line, with `\` and `"` escaped, and ASCII only, as headers demand."""
    plain = " ".join(text.split()).encode("ascii", "replace").decode()
    return '"' + plain.replace("\\", "\\\\").replace('"', '\\"') + '"'
