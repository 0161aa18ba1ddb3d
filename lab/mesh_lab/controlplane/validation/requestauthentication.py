"""Rules for RequestAuthentication."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import msgspec

from mesh_lab.controlplane.model.requestauthentication import JWTRule, RequestAuthentication
from mesh_lab.controlplane.validation.common import Problem, duration, error, warning
from mesh_lab.controlplane.validation.selection import selection

_SECRET_FIELDS = ("d", "k")
"""Of a key (RFC 7518): the private part of RSA's, of elliptic curves' and of Edwards curves', and a shared secret."""


def request_authentication(spec: RequestAuthentication) -> Iterator[Problem]:
    """Problems of a RequestAuthentication."""
    yield from selection(spec.selector, spec.target_ref, spec.target_refs)
    for index, rule in enumerate(spec.jwt_rules):
        yield from rule_problems(f"spec.jwtRules[{index}]", rule)


def rule_problems(path: str, rule: JWTRule) -> Iterator[Problem]:
    """Problems of one rule of a RequestAuthentication."""
    if sum((rule.jwks_uri is not None, rule.jwks_uri_also is not None, bool(rule.jwks))) > 1:
        yield error(path, "only one of jwks or jwksUri can be set")
    if rule.issuer is None and not rule.uri:
        yield error(path, "issuer or jwksUri must be non-empty string")
    if rule.uri:
        yield from _uri(f"{path}.jwksUri" if rule.jwks_uri else f"{path}.jwks_uri", rule.uri)
    if rule.jwks:
        yield from key_problems(f"{path}.jwks", rule.jwks)
    yield from duration(f"{path}.timeout", rule.timeout)


def _uri(path: str, text: str) -> Iterator[Problem]:
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError as failure:
        yield error(path, f'"{text[:100]}" is not a URL: {failure}')
        return
    if parts.scheme not in ("http", "https"):
        yield error(path, f'url must have scheme http:// or https://: URI scheme "{parts.scheme}" is not supported')
    elif not parts.hostname:
        yield error(path, f'"{text[:100]}" names no host')


def key_problems(path: str, text: str | bytes) -> Iterator[Problem]:
    """Problems of a key, or a set of them (RFC 7517)."""
    try:
        document: Any = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError) as failure:
        yield error(path, f"jwks parse error: {failure}")
        return
    keys = document.get("keys", [document]) if isinstance(document, dict) else None
    if not isinstance(keys, list) or not all(isinstance(key, dict) and isinstance(key.get("kty"), str) for key in keys):
        yield error(path, 'jwks parse error: not of the form {"keys": [{"kty": ...}]}')
        return
    for index, key in enumerate(keys):
        if any(name in key for name in _SECRET_FIELDS):
            text = "contains private key material; only public keys are used for verification"
            yield warning(path, f"jwks key at index {index} {text}")
