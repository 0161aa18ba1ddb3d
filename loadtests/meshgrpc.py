"""Users that speak gRPC: `from meshgrpc import GrpcUser` in a locustfile."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar
from urllib.parse import urlsplit

import grpc
import grpc.experimental.gevent
from locust import User, events

# grpcio waits in C, where gevent would let no other user run.
grpc.experimental.gevent.init_gevent()
_Stub = TypeVar("_Stub")
_OWN_CONNECTION = (("grpc.use_local_subchannel_pool", 1),)


class GrpcUser(User):
    """A user with one gRPC channel to its host (`grpc://HOST:PORT`), in clear text: the sidecars encrypt."""

    abstract = True
    timeout = 10.0
    """Seconds for a call that says nothing else."""

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        self._plain = grpc.insecure_channel(urlsplit(self.host or "").netloc, options=_OWN_CONNECTION)
        self.channel = grpc.intercept_channel(self._plain, _Measured(self))

    def call(
        self,
        method: str,
        message: Any = b"",
        *,
        answer: Callable[[bytes], Any] = bytes,
        metadata: tuple[tuple[str, str], ...] = (),
    ) -> Any:
        """Call `/package.Service/Method` with a message, or its bytes; None when that failed, which is an error.

        `answer` makes something of the answer's bytes, as `Reply.FromString` does.
        """
        call = self.channel.unary_unary(method, request_serializer=_as_bytes, response_deserializer=answer)
        try:
            return call(message, metadata=metadata)
        except grpc.RpcError:
            return None

    def stub(self, kind: Callable[[grpc.Channel], _Stub]) -> _Stub:
        """A generated stub; its calls with one message and one answer are measured, and raise what gRPC raises."""
        return kind(self.channel)

    def on_stop(self) -> None:
        """Leave nothing open."""
        self._plain.close()


@dataclass(frozen=True)
class Answered:
    """What `--version-by header:NAME` reads of a call."""

    headers: dict[str, str]
    text: str = ""


class _Details(NamedTuple):
    method: str
    timeout: float | None
    metadata: Any
    credentials: Any
    wait_for_ready: Any
    compression: Any


class _Measured(grpc.UnaryUnaryClientInterceptor):
    def __init__(self, user: GrpcUser) -> None:
        self._user = user

    def intercept_unary_unary(self, continuation: Any, details: Any, request: Any) -> Any:
        method = details.method if isinstance(details.method, str) else details.method.decode()
        timeout = self._user.timeout if details.timeout is None else details.timeout
        begun = time.perf_counter()
        call = continuation(
            _Details(
                method,
                timeout,
                details.metadata,
                details.credentials,
                getattr(details, "wait_for_ready", None),
                getattr(details, "compression", None),
            ),
            request,
        )
        failure = call.exception()
        taken = (time.perf_counter() - begun) * 1000
        events.request.fire(
            request_type="gRPC",
            name=method,
            response_time=taken,
            response_length=0,
            exception=None if failure is None else GrpcFailure(f"{call.code().name}: {call.details()}"),
            response=None if failure is not None else Answered(_headers(call)),
            context=self._user.context(),
        )
        return call


class GrpcFailure(Exception):  # noqa: N818 - as locust's reports name it
    """A call that failed: its code and what it says."""


def _headers(call: Any) -> dict[str, str]:
    return {key: value for key, value in call.initial_metadata() or () if isinstance(value, str)}


def _as_bytes(message: Any) -> bytes:
    return message if isinstance(message, bytes) else message.SerializeToString()
