"""What keeps tokens from being checked, and authorisers from being asked: said on the policies that are meant."""

from __future__ import annotations

from collections.abc import Iterator

from mesh_lab.controlplane.model import AuthorizationPolicy
from mesh_lab.controlplane.model.requestauthentication import RequestAuthentication
from mesh_lab.controlplane.validation.security import is_dry_run
from mesh_lab.controlplane.world.findings import Finding
from mesh_lab.controlplane.world.snapshot import DRY_RUN, Config, Snapshot
from mesh_lab.controlplane.xds.authentication import source_of
from mesh_lab.controlplane.xds.extauthz import authorizer, host_of, settings_of
from mesh_lab.controlplane.xds.rbac import authorization_of
from mesh_lab.controlplane.xds.scope import registry_of

_PROVIDER = "spec.provider.name"


def keys_are_there(snapshot: Snapshot) -> Iterator[Finding]:
    """The keys of tokens that cannot be fetched."""
    for config in snapshot.of(RequestAuthentication).values():
        for index, rule in enumerate(config.spec.jwt_rules):
            source = source_of(rule)
            found = snapshot.keys.get(source) if source is not None else None
            if found is None or not found.problem:
                continue
            path = f"spec.jwtRules[{index}]"
            if found.text:
                text = f"the keys of tokens that were fetched before stay in use: {found.problem}"
                yield Finding("warning", "JwksUnavailable", text, path, config.origin)
            else:
                text = f"tokens of {rule.issuer or 'this rule'} are refused for want of keys: {found.problem}"
                yield Finding("error", "JwksUnavailable", text, path, config.origin)


def authorizers_can_be_asked(snapshot: Snapshot) -> Iterator[Finding]:
    """CUSTOM policies that refuse what they match, since there is nobody to ask, or more than one for a workload."""
    custom = [config for config in snapshot.of(AuthorizationPolicy).values() if config.spec.action == "CUSTOM"]
    for config in custom:
        text = _nobody(snapshot, config)
        if text:
            # Not an error: the policy is in force, closed.
            yield Finding("warning", "IST0101", f"{text}: what the rules match is refused", _PROVIDER, config.origin)
    if len({_name(config) for config in custom}) > 1:
        yield from _of_several(snapshot)


def _name(config: Config[AuthorizationPolicy]) -> str:
    return config.spec.provider.name if config.spec.provider is not None else ""


def _nobody(snapshot: Snapshot, config: Config[AuthorizationPolicy]) -> str:
    """Why a policy's provider cannot be asked; empty where it can."""
    name = _name(config)
    settings = settings_of(snapshot.mesh, name)
    if settings is None:
        what = "is no authoriser" if snapshot.mesh.provider(name) is not None else "not found in the mesh's settings"
        return f'Referenced extension provider "{name}" {what}'
    known = registry_of(snapshot).services
    if authorizer(snapshot.mesh, name, known) is None:
        return f'Referenced host not found: "{host_of(settings)[1]}", the service of extension provider "{name}"'
    return ""


def _of_several(snapshot: Snapshot) -> Iterator[Finding]:
    policies = snapshot.of(AuthorizationPolicy)
    told: set[tuple[str, str, str]] = set()
    for pod in snapshot.pods.values():
        labels = tuple(sorted(pod.labels.items()))
        found = authorization_of(policies, pod.namespace, labels, snapshot.mesh.root_namespace)
        if len(found.providers) < 2:
            continue
        names = ", ".join(found.providers)
        for config in found.custom:
            if config.origin.key in told or is_dry_run(config.annotations.get(DRY_RUN)):
                continue
            told.add(config.origin.key)
            text = f"a workload can have one provider, and {pod.namespace}/{pod.name} has several ({names})"
            yield Finding(
                "error", "AuthorizersConflict", f"{text}: what the rules match is refused", _PROVIDER, config.origin
            )
