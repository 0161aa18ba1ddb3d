"""One call of the gRPC health checking protocol (https://github.com/grpc/grpc/blob/master/doc/health-checking.md).

Written on the HTTP/2 library, since a gRPC client's own threads have no place in the kube process.
"""

from __future__ import annotations

import asyncio

from mesh_lab.kube.node.pod.checks import Result, reason

_SERVING = 1
_STATUS_WORDS = ("UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN")
_OK = "0"
_CHUNK = 16 << 10


async def check(host: str, port: int, service: str) -> Result:
    """Return whether the service reports SERVING; the caller limits the time."""
    try:
        reader, writer = await asyncio.open_connection(host, port)
    except OSError as error:
        return Result(False, f'timeout: failed to connect service "{host}:{port}": {reason(error)}')
    try:
        status, body = await _call(reader, writer, f"{host}:{port}", service)
    except (OSError, EOFError) as error:
        return Result(False, f"error: health rpc failed: {reason(error)}")
    finally:
        writer.transport.abort()
    if status != _OK:
        return Result(False, f"error: health rpc failed: rpc error: code = {status}")
    value = _serving_status(body)
    if value == _SERVING:
        return Result(True)
    word = _STATUS_WORDS[value] if value < len(_STATUS_WORDS) else str(value)
    return Result(False, f'service unhealthy (responded with "{word}")')


async def _call(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, authority: str, service: str
) -> tuple[str, bytes]:
    """Return the call's grpc-status and its answer's bytes, frame header included."""
    from h2.config import H2Configuration  # few labs probe over gRPC
    from h2.connection import H2Connection
    from h2.events import DataReceived, ResponseReceived, StreamEnded, TrailersReceived

    connection = H2Connection(H2Configuration(header_encoding="utf-8"))
    connection.initiate_connection()
    headers = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", "/grpc.health.v1.Health/Check"),
        (":authority", authority),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ]
    name = service.encode()
    message = b"\x0a" + bytes([len(name)]) + name if name else b""
    connection.send_headers(1, headers)
    connection.send_data(1, b"\0" + len(message).to_bytes(4, "big") + message, end_stream=True)
    status, body = "", b""
    while True:
        writer.write(connection.data_to_send())
        data = await reader.read(_CHUNK)
        if not data:
            raise EOFError("EOF")
        for event in connection.receive_data(data):
            if isinstance(event, ResponseReceived | TrailersReceived):
                status = dict(event.headers).get("grpc-status", status)
            elif isinstance(event, DataReceived):
                body += event.data
            elif isinstance(event, StreamEnded):
                return status, body
            elif (code := getattr(event, "error_code", None)) is not None:
                raise EOFError(f"the server ended the call with HTTP/2 error code {code}")


def _serving_status(body: bytes) -> int:
    """Field 1 of HealthCheckResponse, an enum; absent it is 0."""
    message = body[5:]
    return message[1] if len(message) >= 2 and message[0] == 0x08 else 0
