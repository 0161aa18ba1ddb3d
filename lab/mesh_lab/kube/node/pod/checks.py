"""The actions of probes and hooks: an HTTP request, a TCP connection.

They come from the node's own network namespace, which is this process', to the pod's address. Plain streams: a lab
probes dozens of containers, each every few seconds, and needs none of what an HTTP client adds.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
from dataclasses import dataclass
from functools import cache

from mesh_lab.kube import MINOR_VERSION
from mesh_lab.kube.objects.containers import Container, HttpGet

_USER_AGENT = f"kube-probe/{MINOR_VERSION}"
_BODY_SHOWN = 10 << 10  # bytes of an answer, as much as the kubelet reads


@dataclass(frozen=True)
class Result:
    """The outcome of a check and its message; `unknown` when it could not be made at all."""

    ok: bool
    message: str = ""
    unknown: bool = False


def port_number(port: int | str, container: Container) -> int:
    """Return the number of a port that is given by number or name.

    Raises:
        ValueError: the container has no port of that name.
    """
    if isinstance(port, int):
        return port
    if port.isdigit():
        return int(port)
    for candidate in container.ports:
        if candidate.name == port:
            return candidate.container_port
    raise ValueError(f'couldn\'t find port: "{port}" in container {container.name}')


async def http(action: HttpGet, address: str, port: int) -> Result:
    """GET as the kubelet does: 200 to 399 is success, certificates are not verified, redirects are not followed.

    Raises:
        OSError, ssl.SSLError: there is no connection; the caller limits the time.
    """
    secure = action.scheme.upper() == "HTTPS"
    host = action.host or address
    url = f"{action.scheme.lower()}://{host}:{port}{_path(action.path)}"
    try:
        reader, writer = await asyncio.open_connection(host, port, ssl=_unverified() if secure else None)
    except OSError as error:
        return Result(False, f'Get "{url}": dial tcp {host}:{port}: {reason(error)}')
    try:
        writer.write(_request(action, f"{host}:{port}"))
        status = await _status(reader)
        if 200 <= status < 400:
            return Result(True)
        return Result(False, f"HTTP probe failed with statuscode: {status}")
    except (OSError, EOFError, ValueError) as error:
        return Result(False, f'Get "{url}": {reason(error)}')
    finally:
        # There is nothing to flush, and the peer may never close.
        writer.transport.abort()


async def tcp(host: str, port: int) -> Result:
    """Try to open a TCP connection."""
    try:
        _, writer = await asyncio.open_connection(host, port)
    except OSError as error:
        return Result(False, f"dial tcp {host}:{port}: {reason(error)}")
    writer.transport.abort()
    return Result(True)


def _path(path: str) -> str:
    return path if path.startswith("/") else f"/{path}"


def _request(action: HttpGet, authority: str) -> bytes:
    headers = {"Host": authority, "User-Agent": _USER_AGENT, "Accept": "*/*", "Connection": "close"}
    known = {name.lower(): name for name in headers}
    for header in action.http_headers:
        headers.pop(known.get(header.name.lower(), ""), None)
        headers[header.name] = header.value
    lines = [f"GET {_path(action.path)} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


async def _status(reader: asyncio.StreamReader) -> int:
    line = await reader.readline()
    version, _, rest = line.decode("latin-1").partition(" ")
    if not line:
        raise EOFError("EOF")
    if not version.startswith("HTTP/") or not rest[:3].isdigit():
        raise ValueError(f"malformed HTTP response {line[:60]!r}")
    # The body is read so that the server can log its answer as sent; it is not used.
    with contextlib.suppress(OSError, asyncio.IncompleteReadError):
        await reader.read(_BODY_SHOWN)
    return int(rest[:3])


@cache
def _unverified() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def reason(error: BaseException) -> str:
    """Return a connection's failure in few words."""
    if isinstance(error, OSError) and error.errno and not isinstance(error, ssl.SSLError):
        return f"connect: {os.strerror(error.errno).lower()}"  # asyncio's own text leaves the cause out
    return str(error) or type(error).__name__


def describe_failure(output: bytes, code: int) -> str:
    """Return the output of a failed command, or its exit code if it wrote nothing."""
    text = output.decode(errors="replace").strip()
    return text or f"command failed with exit code {code}"
