"""What is known of a connection's TLS, on either side of it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from mesh_lab.apps.http.messages import Tls

if TYPE_CHECKING:
    import ssl

_REQUESTED = "requested_name"


def note_server_name(context: ssl.SSLContext) -> None:
    """Have each connection of a server note the server name (SNI) that its client asked for."""

    def note(connection: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
        setattr(connection, _REQUESTED, name or "")

    context.sni_callback = note


def requested_name(connection: ssl.SSLObject) -> str:
    """The server name that a connection's client asked for, where it was noted."""
    return str(getattr(connection, _REQUESTED, ""))


def tls_of(transport: asyncio.BaseTransport) -> Tls | None:
    """The TLS of a connection with the other side's certificate; None for plaintext."""
    secured: ssl.SSLObject | None = transport.get_extra_info("ssl_object")
    if secured is None:
        return None
    return Tls(
        bool(secured.getpeercert()),
        secured.version() or "",
        requested_name(secured),
        secured.selected_alpn_protocol() or "",
        (secured.cipher() or ("",))[0],
        _as_pem(secured.getpeercert(binary_form=True)),
    )


def _as_pem(certificate: bytes | None) -> str:
    if not certificate:
        return ""
    # A process that has a certificate has the module; servers without TLS do without its 5 MB.
    from ssl import DER_cert_to_PEM_cert

    return DER_cert_to_PEM_cert(certificate)
