"""IP families of Services: which combinations there are, and what fields that a client leaves out become.

Rules and words are those of `initIPFamilyFields` in Kubernetes' pkg/registry/core/service/storage/alloc.go, and of
`ValidateServiceClusterIPsRelatedFields` in its pkg/apis/core/validation.
https://kubernetes.io/docs/concepts/services-networking/dual-stack/
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from ipaddress import ip_address

from mesh_lab.kube.changes import Object
from mesh_lab.kube.errors import Cause
from mesh_lab.kube.registry.rules.causes import duplicate, forbidden, invalid, required
from mesh_lab.kube.registry.syntax.names import is_ip

IPV4, IPV6 = "IPv4", "IPv6"
SINGLE, PREFER, REQUIRE = "SingleStack", "PreferDualStack", "RequireDualStack"
FIELDS = ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy")
"""What an ExternalName has none of."""

_NONE = "None"
_OTHER = {IPV4: IPV6, IPV6: IPV4}


def family_of(address: str) -> str:
    """The family of a well-formed address."""
    return f"IPv{ip_address(address).version}"


def check(spec: Object) -> Iterator[Cause]:
    """What is wrong with the addresses and families of a Service on any cluster."""
    if spec.get("type") == "ExternalName":
        for field in FIELDS[1:]:
            if spec.get(field) or (field == "clusterIPs" and spec.get("clusterIP")):
                yield forbidden(f"spec.{field}", "may not be set for ExternalName services")
        return
    address, addresses = spec.get("clusterIP") or "", spec.get("clusterIPs") or []
    families = spec.get("ipFamilies") or []
    if address and not addresses:
        yield required("spec.clusterIPs")
    elif addresses and address != addresses[0]:
        words = "first value must match `clusterIP`" if address else "must be empty when `clusterIP` is not specified"
        yield invalid("spec.clusterIPs", addresses, words)
    for index, family in enumerate(families):
        if family in families[:index]:
            yield duplicate(f"spec.ipFamilies[{index}]", family)
    malformed = [*_check_each(addresses)]
    yield from malformed
    if not malformed:
        yield from _check_together(addresses, families)


def _check_each(addresses: Sequence[str]) -> Iterator[Cause]:
    for index, one in enumerate(addresses):
        if index == 0 and one == _NONE:
            if len(addresses) > 1:
                yield invalid("spec.clusterIPs", addresses, "'None' must be the first and only value")
        elif not is_ip(one):
            yield invalid(f"spec.clusterIPs[{index}]", one, "must be a valid IP address")


def _check_together(addresses: Sequence[str], families: Sequence[str]) -> Iterator[Cause]:
    if len(addresses) > 2:
        yield invalid("spec.clusterIPs", addresses, "may only hold up to 2 values")
    if _NONE in addresses:
        return
    if len({family_of(one) for one in addresses}) < len(addresses):
        yield invalid("spec.clusterIPs", addresses, "may specify no more than one IP for each IP family")
    for index, (one, family) in enumerate(zip(addresses, families, strict=False)):
        if family_of(one) != family:
            words = f"expected an {family} value as indicated by `ipFamilies[{index}]`"
            yield invalid(f"spec.clusterIPs[{index}]", one, words)


def check_update(new: Object, old: Object) -> Iterator[Cause]:
    """The addresses and families that a Service has stay; only a second one comes and goes."""
    if "ExternalName" in (old.get("type"), new.get("type")):
        return
    if new.get("clusterIP") == old.get("clusterIP") == _NONE:
        return
    for field in ("clusterIPs", "ipFamilies"):
        before, after = old.get(field) or [], new.get(field) or []
        for index, (was, now) in enumerate(zip(before, after, strict=False)):
            if was != now:
                yield invalid(f"spec.{field}[{index}]", after, "may not change once set")


def settle(spec: Object, old: Object | None, configured: Sequence[str]) -> list[Cause]:
    """Fill in `ipFamilyPolicy` and `ipFamilies`, and drop what a Service that turns to one family leaves.

    `configured` are the cluster's families, the first of which is the default. Returns what speaks against it.
    """
    if old is not None and _keeps_preference(spec, old):
        return []
    spec["ipFamilyPolicy"] = policy = spec.get("ipFamilyPolicy") or _policy(spec, old)
    causes = [*_released(spec, old, policy)] if old is not None else []
    addresses, families = spec.get("clusterIPs") or [], list(spec.get("ipFamilies") or ())
    if policy == SINGLE:
        for given, noun in ((addresses, "cluster IPs"), (families, "IP families")):
            if len(given) == 2:
                words = f"must be '{REQUIRE}' or '{PREFER}' when multiple {noun} are specified"
                causes.append(invalid("spec.ipFamilyPolicy", policy, words))
    for index, one in enumerate(addresses):
        if one != _NONE and index >= len(families):
            families.append(family_of(one))
            if families[-1] not in configured:
                words = f"{families[-1]} is not configured on this cluster"
                causes.append(invalid(f"spec.clusterIPs[{index}]", addresses, words))
    if causes:
        return causes
    selects_nothing = spec.get("clusterIP") == _NONE and not spec.get("selector")
    if not selects_nothing:
        causes = [*_unconfigured(policy, families, configured)]
    families = families or [configured[0]]
    if policy != SINGLE and len(families) == 1 and (selects_nothing or len(configured) == 2):
        families.append(_OTHER[families[0]])
    spec["ipFamilies"] = families
    return causes


def _keeps_preference(new: Object, old: Object) -> bool:
    """Whether it only prefers two families and did: then an update does not give it what a new one would get."""
    fields = ("type", "clusterIPs", "ipFamilies", "ipFamilyPolicy")
    return new.get("ipFamilyPolicy") == PREFER and all(new.get(field) == old.get(field) for field in fields)


def _policy(spec: Object, old: Object | None) -> str:
    if old is not None and old.get("ipFamilyPolicy"):
        return str(old["ipFamilyPolicy"])
    return REQUIRE if spec.get("clusterIP") == _NONE and not spec.get("selector") else SINGLE


def _released(new: Object, old: Object, policy: str) -> Iterator[Cause]:
    """Under `SingleStack` the second ones go by themselves, where the client left them as they were."""
    for field, noun in (("clusterIPs", "cluster IP"), ("ipFamilies", "IP family")):
        before, after = old.get(field) or [], new.get(field) or []
        if policy == SINGLE:
            if after == before and len(after) > 1:
                new[field] = after[:1]
        elif len(before) == 2 and len(after) == 1:
            words = f"must be '{SINGLE}' to release the secondary {noun}"
            yield invalid("spec.ipFamilyPolicy", policy, words)


def _unconfigured(policy: str, families: Sequence[str], configured: Sequence[str]) -> Iterator[Cause]:
    if policy == REQUIRE and len(configured) < 2:
        yield invalid("spec.ipFamilyPolicy", policy, "this cluster is not configured for dual-stack services")
    for index, family in enumerate(families):
        if family not in configured:
            yield invalid(f"spec.ipFamilies[{index}]", family, "not configured on this cluster")
