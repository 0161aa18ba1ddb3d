"""What to send, checked before anything is sent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

MAX_COUNT = 1_000_000
MAX_CONCURRENCY = 1_000
SCHEMES = ("http", "https", "grpc", "grpcs", "tcp")
TLS_VERSIONS = ("TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3")
CONCURRENCY_WITH_RATE = 100  # with a rate: a request that waits for its answer must not delay the next ones


@dataclass(frozen=True, slots=True)
class Plan:
    """A run of requests. Times in seconds, rate in requests a second.

    Raises:
        ValueError: a number out of its range; the message begins with the field's name.
    """

    url: str
    count: int = 1
    rate: float | None = None
    concurrency: int = 1
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    timeout: float = 10.0
    deadline: float = 120.0
    http2: bool = False
    new_connections: bool = False
    distinct_ids: bool = False
    show_body: bool = False
    show_headers: tuple[str, ...] = ()
    ca: str | None = None
    ca_pem: str | None = None
    certificate_pem: str | None = None
    insecure: bool = False
    server_name: str = ""
    show_certificate: bool = False
    tls_version: str = ""
    index_header: str = ""
    summary_only: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.count <= MAX_COUNT:
            raise ValueError(f"count: {self.count} is not between 1 and {MAX_COUNT}")
        if not 1 <= self.concurrency <= MAX_CONCURRENCY:
            raise ValueError(f"concurrency: {self.concurrency} is not between 1 and {MAX_CONCURRENCY}")
        if self.rate is not None and not self.rate > 0:
            raise ValueError(f"rate: {self.rate:g} is not above 0")
        for name, seconds in (("timeout", self.timeout), ("deadline", self.deadline)):
            if not seconds > 0:
                raise ValueError(f"{name}: {seconds:g} is not above 0")
        if self.tls_version and self.tls_version not in TLS_VERSIONS:
            raise ValueError(f"tls_version: {self.tls_version!r} is none of {', '.join(TLS_VERSIONS)}")
        if not self.url.startswith(tuple(f"{scheme}://" for scheme in SCHEMES)):
            raise ValueError(f"url: {self.url!r} is no URL of {', '.join(SCHEMES)}")

    @property
    def scheme(self) -> str:
        """The URL's scheme."""
        return self.url.partition("://")[0]
