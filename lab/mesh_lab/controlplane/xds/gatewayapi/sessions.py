"""`sessionPersistence` of HTTPRoutes and GRPCRoutes.

https://gateway-api.sigs.k8s.io/geps/gep-1619/
"""

from __future__ import annotations

import hashlib
import re

from mesh_lab.controlplane.model.gatewayapi.common import SessionPersistence
from mesh_lab.controlplane.model.internal import Session
from mesh_lab.controlplane.xds.gatewayapi.filters import UnsupportedError
from mesh_lab.controlplane.xds.gatewayapi.rules import Forward, time_limit

_COOKIE, _HEADER = "mesh-lab-session", "x-mesh-lab-session"
_DIGEST_BYTES = 4
# Of headers (RFC 9110, 5.6.2) and of cookies (RFC 6265, 4.1.1) alike. With another, Envoy fails every request.
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


def of(where: str, asked: SessionPersistence | None, forward: Forward) -> Session | None:
    """By what clients stay with their endpoint; None where they need not.

    The endpoint is in the cookie or header, and is looked for in one backend: with several a client would change
    between them. Nobody counts the time of a session, so that only a cookie that the client forgets can end.

    Raises:
        UnsupportedError: the rule has several backends, its session's name can be that of no header or cookie, or it
            asks for a time limit that the proxy would have to keep.
    """
    if asked is None:
        return None
    where = f"{where}.sessionPersistence"
    if len(forward.shares) > 1:
        raise UnsupportedError(f"{where}: of several backends the proxy would not know which has the session")
    if asked.session_name and not _NAME.fullmatch(asked.session_name):
        raise UnsupportedError(f"{where}.sessionName: {asked.session_name!r} is no name of a header or cookie")
    permanent = asked.cookie_config is not None and asked.cookie_config.lifetime_type == "Permanent"
    if asked.absolute_timeout and not permanent:
        raise UnsupportedError(f"{where}.absoluteTimeout: only a cookie of the lifetimeType Permanent can end")
    lifetime = time_limit(f"{where}.absoluteTimeout", asked.absolute_timeout) if permanent else None
    header = asked.type == "Header"
    name = asked.session_name or f"{_HEADER if header else _COOKIE}-{_digest(forward)}"
    return Session(name=name, header=header, lifetime="" if header else lifetime or "")


def _digest(forward: Forward) -> str:
    """What tells the sessions of one backend from those of another, which a client may have at the same host."""
    to = [share.destination for share in forward.shares]
    backends = " ".join(f"{each.host}:{each.port.number if each.port is not None else 0}" for each in to)
    return hashlib.blake2b(backends.encode(), digest_size=_DIGEST_BYTES).hexdigest()
