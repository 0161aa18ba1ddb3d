"""Claims of a good token, where the filter of tokens has left them: for the rules of RBAC, and for routes.

Pilot's pkg/security/authz/model and pkg/jwt of Istio 1.30 have the forms.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from envoy.type.matcher.v3.metadata_pb2 import MetadataMatcher
from envoy.type.matcher.v3.regex_pb2 import RegexMatcher
from envoy.type.matcher.v3.string_pb2 import StringMatcher
from envoy.type.matcher.v3.value_pb2 import ListMatcher, OrMatcher, ValueMatcher

from mesh_lab.controlplane.xds import authentication

HEADER = "@request.auth.claims"
_BRACKETS = re.compile(r"(\[[^\[\]]*\])+")
_ANY = StringMatcher(safe_regex=RegexMatcher(regex=".+"))


def names_in(brackets: str) -> list[str]:
    """The claim that `[a]`, or the nested one that `[a][b]`, names."""
    if _BRACKETS.fullmatch(brackets):
        return brackets[1:-1].split("][")
    return [brackets[1:-1]]


def routing_claim(header: str) -> list[str]:
    """The claim that a header's name in a route stands for (`@request.auth.claims.a.b`, `...claims[a][b]`)."""
    rest = header[len(HEADER) :]
    return rest[1:].split(".") if rest.startswith(".") else rest[1:-1].split("][")


def claim(path: Sequence[str], matchers: Iterable[StringMatcher], *, invert: bool = False) -> MetadataMatcher:
    """A claim that is a text, or a list with such a text, which one of the matchers takes."""
    texts = [ValueMatcher(string_match=matcher) for matcher in matchers]
    wanted = texts[0] if len(texts) == 1 else ValueMatcher(or_match=OrMatcher(value_matchers=texts))
    in_list = ValueMatcher(list_match=ListMatcher(one_of=wanted))
    either = ValueMatcher(or_match=OrMatcher(value_matchers=[in_list, wanted]))
    return _at(path, either, invert=invert)


def principal(value: str) -> tuple[MetadataMatcher, MetadataMatcher]:
    """A request principal, `ISSUER/SUBJECT`: issuers may have slashes, subjects have none. Either part may be a `*`."""
    issuer, slash, subject = value.rpartition("/")
    if not slash:
        issuer, subject = value, ""
    return _at(["iss"], ValueMatcher(string_match=_issuer(value, issuer, slash))), _at(
        ["sub"], ValueMatcher(string_match=_subject(value, subject, slash))
    )


def _issuer(value: str, issuer: str, slash: str) -> StringMatcher:
    if value == "*" or (value.startswith("*") and (not slash or issuer == "*")):
        return _ANY
    if value.startswith("*"):
        return StringMatcher(suffix=issuer[1:])
    if value.endswith("*") and not slash:
        return StringMatcher(prefix=value[:-1])
    return StringMatcher(exact=issuer)


def _subject(value: str, subject: str, slash: str) -> StringMatcher:
    if value == "*":
        return _ANY
    if value.startswith("*"):
        return StringMatcher(exact=subject) if slash else StringMatcher(suffix=value[1:])
    if value.endswith("*"):
        return StringMatcher(prefix=subject[:-1]) if slash and subject != "*" else _ANY
    return StringMatcher(exact=subject)


def _at(path: Sequence[str], value: ValueMatcher, *, invert: bool = False) -> MetadataMatcher:
    segments = [MetadataMatcher.PathSegment(key=key) for key in (authentication.PAYLOAD, *path)]
    return MetadataMatcher(filter=authentication.FILTER, path=segments, value=value, invert=invert)
