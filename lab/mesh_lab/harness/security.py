"""Assertions on who may talk to whom, and how the connection between them is protected.

https://istio.io/latest/docs/concepts/security/
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection

from mesh_lab.harness.assertions import assert_all
from mesh_lab.harness.results import Result
from mesh_lab.harness.telling import first_of, some, table

FORBIDDEN, UNAUTHORIZED, UNAVAILABLE = 403, 401, 503
BY_NO_RULE = "none"
"""Instead of a policy's name: denied since there are ALLOW policies and none of them matches."""
_MATCHED = re.compile(
    r"rbac_access_denied_matched_policy\[(?:"
    r"ns\[(?P<namespace>[^\]]*)\]-policy\[(?P<name>[^\]]*)\]-rule\[\d+\]|none)\]"
)
_CUT = frozenset({"UC", "UF", "URX"})


def assert_mutual_tls(results: Collection[Result], *, client: str = "", server: str = "") -> None:
    """The requests went over mutual TLS; with names, between these identities (SPIFFE URIs). Needs records.

    The client's proxy has verified the server, and the server's proxy the client.

    Raises:
        AssertionError: naming those that went over plaintext, or between other identities.
        LookupError: the run was not recorded, or the server's proxy has recorded nothing.
    """
    __tracebackhide__ = True
    some(results)
    for result in results:
        if not result.server_identity:
            raise AssertionError(
                f"a request went over plaintext to {result.pod or 'no endpoint'}\n{first_of([result])}"
            )
        for who, wanted, seen in (
            ("server", server, result.server_identity),
            ("client", client, result.identity),
        ):
            if not seen or (wanted and seen != wanted):
                raise AssertionError(
                    f"the {who}'s identity was {seen or 'not shown'}, not {wanted or 'a verified one'}"
                )


def assert_plaintext_refused(results: Collection[Result]) -> None:
    """A server that wants mutual TLS cut every connection without it: no answer, or the client's proxy says so (503).

    A port that nobody listens on, or a name that is not found, refuses something else.

    Raises:
        AssertionError: a request was answered, or failed for another reason.
    """
    __tracebackhide__ = True
    some(results)
    if other := [each for each in results if not _cut(each)]:
        outcomes = Counter(each.outcome for each in results)
        raise AssertionError(
            f"{len(other)} of {len(results)} requests over plaintext were not cut: {table(outcomes)}\n{first_of(other)}"
        )


def _cut(result: Result) -> bool:
    if result.status == UNAVAILABLE and result.record is not None:
        return bool(_CUT & set(result.flags.split(",")))
    return result.error == "reset"


def assert_denied(results: Collection[Result], policy: str = "", *, status: int = FORBIDDEN) -> None:
    """All requests were denied; with a name, by this AuthorizationPolicy (`NAMESPACE/NAME`). By name it needs records.

    `BY_NO_RULE` is the name where ALLOW policies apply and none of their rules matches. Denied calls of gRPC have the
    status 200 of HTTP and 7 of gRPC (PERMISSION_DENIED).

    Raises:
        AssertionError: naming the requests that were not denied, or by what they were.
        LookupError: a name was given, and the run was not recorded.
    """
    __tracebackhide__ = True
    some(results)
    if other := [each for each in results if each.status != status and each.grpc_status != 7]:
        outcomes = Counter(each.outcome for each in results)
        raise AssertionError(
            f"{len(other)} of {len(results)} requests were not denied: {table(outcomes)}\n{first_of(other)}"
        )
    if policy:
        by = Counter(_denied_by(each) for each in results)
        if set(by) != {policy}:
            raise AssertionError(f"the requests were denied by {table(by)}, not by {policy}")


def _denied_by(result: Result) -> str:
    """The policy that denied a request, as the proxy says that did it: the server's, or a gateway."""
    if result.record is None:
        raise LookupError("by which policy is in the proxies' records: send with recorded=True, in mesh.recording()")
    for record in (result.served, result.record):
        if record is not None and (matched := _MATCHED.search(record.details)):
            return f"{matched['namespace']}/{matched['name']}" if matched["name"] is not None else BY_NO_RULE
    return "nothing that a proxy has recorded"


def assert_allowed(results: Collection[Result]) -> None:
    """No request was denied: all were answered with 200.

    Raises:
        AssertionError: as `assert_all`.
    """
    __tracebackhide__ = True
    assert_all(results)


def assert_unauthenticated(results: Collection[Result]) -> None:
    """All requests were refused for their token (a JWT that is missing its issuer, expired, or not signed by it): 401.

    Raises:
        AssertionError: as `assert_all`.
    """
    __tracebackhide__ = True
    assert_all(results, status=UNAUTHORIZED)


def assert_tls(results: Collection[Result], *, version: str = "", name: str = "") -> None:
    """The answers came over TLS of this version (`TLSv1.3`), from a server whose certificate is for this name.

    For a name send with `show_certificate=True`. A wildcard of the certificate stands for one label (RFC 6125).

    Raises:
        AssertionError: naming the version or the names that were seen.
    """
    __tracebackhide__ = True
    some(results)
    for result in results:
        if not result.tls:
            raise AssertionError(f"a request was not answered over TLS\n{first_of([result])}")
        if version and result.tls != version:
            raise AssertionError(f"the connection's version was {result.tls}, not {version}")
        if name and not any(_is_for(pattern, name) for pattern in names_in(result.certificate)):
            raise AssertionError(
                f"the server's certificate is for {', '.join(names_in(result.certificate))}, not {name}"
            )


def names_in(certificate: str) -> list[str]:
    """The DNS names in a certificate (PEM).

    Raises:
        ValueError: it is none: send with `show_certificate=True`.
    """
    from cryptography import x509

    if not certificate:
        raise ValueError("the results have no certificates: send with show_certificate=True")
    extensions = x509.load_pem_x509_certificate(certificate.encode()).extensions
    try:
        return extensions.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(x509.DNSName)
    except x509.ExtensionNotFound:
        return []


def _is_for(pattern: str, name: str) -> bool:
    if pattern.startswith("*."):
        return name.partition(".")[2].lower() == pattern[2:].lower()
    return pattern.lower() == name.lower()
