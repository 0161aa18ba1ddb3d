"""echo-basic's gRPC server: `GrpcEcho` answers with the call that it was (conformance/echo-basic/grpcecho.proto)."""

from __future__ import annotations

from mesh_lab.apps.grpc import wire
from mesh_lab.apps.grpc.server import GrpcServer, Method
from mesh_lab.apps.http.messages import Request
from mesh_lab.apps.samples.echobasic.handler import Identity

SERVICE = "/gateway_api_conformance.echo_basic.grpcecho.GrpcEcho"
_METHODS = ("Echo", "EchoTwo")


def server(identity: Identity) -> GrpcServer:
    """The handler of a port for gRPC."""
    return GrpcServer({f"{SERVICE}/{name}": _method(f"{SERVICE}/{name}", identity) for name in _METHODS})


def _method(name: str, identity: Identity) -> Method:
    context = wire.encode({1: identity.namespace, 2: identity.ingress, 3: identity.service, 4: identity.pod})

    async def answer(message: bytes, request: Request) -> bytes:
        headers = [
            wire.encode({1: key, 2: value}) for key, value in request.headers.pairs if key not in ("host", ":authority")
        ]
        assertions: dict[int, str | bytes | list[bytes]] = {
            1: name,
            2: headers,
            3: request.headers.get("host"),
            4: context,
        }
        if request.tls is not None:
            tls = request.tls
            assertions[5] = wire.encode({1: tls.version, 2: tls.protocol, 3: tls.server_name, 4: tls.cipher})
        return wire.encode({1: wire.encode(assertions), 2: [message]})

    return answer
