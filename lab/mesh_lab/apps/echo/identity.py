"""The identity of the caller, from X-Forwarded-Client-Cert.

A server's sidecar sets it from the client's certificate, in Envoy's format.
"""

from __future__ import annotations

import re

_FIELD = re.compile(r'\s*(?P<key>[A-Za-z]+)=(?P<value>"(?:[^"\\]|\\.)*"|[^;,"]*)\s*(?P<end>[;,]|$)')


def parse_xfcc(header: str) -> list[dict[str, str]]:
    """The header's elements (Hash, Subject, URI, By…), first hop first; what is not of the format ends the parse."""
    elements: list[dict[str, str]] = []
    element: dict[str, str] = {}
    position = 0
    while position < len(header) and (match := _FIELD.match(header, position)):
        value = match["value"]
        if value.startswith('"'):
            value = re.sub(r"\\(.)", r"\1", value[1:-1])
        element[match["key"]] = value
        position = match.end()
        if match["end"] != ";":
            elements.append(element)
            element = {}
    if element:
        elements.append(element)
    return elements


def client_identity(header: str) -> str | None:
    """The URI (SPIFFE) of the last hop, that is of the client of this server's sidecar; None for plaintext."""
    elements = parse_xfcc(header)
    return elements[-1].get("URI") if elements else None
