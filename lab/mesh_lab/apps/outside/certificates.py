"""TLS of the sites: each shows the certificate of the name that the client asks for (SNI, RFC 6066)."""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping

ALPN = ("h2", "http/1.1")


class Certificates:
    """Contexts by the names of sites, of which `*.NAME` stands for all below NAME. Each is made when first needed."""

    def __init__(self, pem: Mapping[str, str]) -> None:
        self._pem = pem
        self._made: dict[str, ssl.SSLContext] = {}

    def context(self, name: str) -> ssl.SSLContext:
        """Return the context of a listener: without SNI, or for a name of no site, it shows that of `name`."""
        context = _empty()
        _load(context, self._pem[name])
        context.sni_callback = self._choose
        return context

    def _choose(self, connection: ssl.SSLObject | ssl.SSLSocket, name: str | None, _: ssl.SSLContext) -> None:
        found = matching(self._pem, name or "")
        if found is not None:
            if found not in self._made:
                self._made[found] = _empty()
                _load(self._made[found], self._pem[found])
            connection.context = self._made[found]


def matching(names: Mapping[str, object], host: str) -> str | None:
    """Return which of the names a host is: itself, or the longest wildcard that it lies below; None without any."""
    host = host.lower()
    if host in names:
        return host
    while (dot := host.find(".")) >= 0:
        host = host[dot + 1 :]
        if f"*.{host}" in names:
            return f"*.{host}"
    return None


def _empty() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(list(ALPN))
    return context


def _load(context: ssl.SSLContext, pem: str) -> None:
    """Load certificate and key. Python reads them from files only; this one is in memory, without a name."""
    descriptor = os.memfd_create("certificate")
    try:
        os.write(descriptor, pem.encode())
        context.load_cert_chain(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)
