"""The mesh's trust domain and its aliases: names of one mesh, such as during a migration from one to another.

An identity in any of them is the same workload's. Source: pilot/pkg/security/trustdomain of Istio 1.30.
"""

from __future__ import annotations

TrustDomains = tuple[str, ...]
"""The mesh's own first."""

_LOCAL = "cluster.local"  # in a policy, whatever the mesh's own is called
_PARTS = 5  # of TRUST-DOMAIN/ns/NAMESPACE/sa/ACCOUNT


def spiffe(domains: TrustDomains, namespace: str, account: str) -> tuple[str, ...]:
    """The identities of a service account."""
    return tuple(f"spiffe://{domain}/ns/{namespace}/sa/{account}" for domain in domains)


def of_principal(principal: str, domains: TrustDomains) -> tuple[str, ...]:
    """A policy's principal, in all of the mesh's domains if it is in one of them. Of another mesh it stays as it is."""
    domain, *rest = principal.split("/")
    if len(rest) != _PARTS - 1 or domain == "*":
        return (principal,)
    if domain != _LOCAL and not any(_alike(domain, each) for each in domains):
        return (principal,)
    named = (principal if _ends(each, domain) else "/".join((each, *rest)) for each in domains)
    return tuple(dict.fromkeys(named))


def of_domain(domain: str, domains: TrustDomains) -> tuple[str, ...]:
    """All of the mesh's domains for one of them."""
    return domains if domain in domains else (domain,)


def _alike(one: str, other: str) -> bool:
    either = ((one, other), (other, one))
    return one == other or any(matches(*pair) for matches in (_begins, _ends) for pair in either)


def _begins(text: str, pattern: str) -> bool:
    return pattern.endswith("*") and text.startswith(pattern[:-1])


def _ends(text: str, pattern: str) -> bool:
    return pattern.startswith("*") and text.endswith(pattern[1:])
