"""The Pod Security Standards: each check finds what a pod's spec may not have, in Kubernetes' words.

https://kubernetes.io/docs/concepts/security/pod-security-standards/
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from mesh_lab.kube.registry.podsecurity.levels import BASELINE, PRIVILEGED, RESTRICTED

Spec = Mapping[str, Any]
_Names = list[str]

_BASE_CAPABILITIES = frozenset(
    {
        *("AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE"),
        *("SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT"),
    }
)
_SELINUX_TYPES = ("", "container_t", "container_init_t", "container_kvm_t", "container_engine_t")
_SYSCTLS = frozenset(
    {
        *("kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.ip_local_reserved_ports"),
        *("net.ipv4.ip_unprivileged_port_start", "net.ipv4.ping_group_range", "net.ipv4.tcp_fin_timeout"),
        *("net.ipv4.tcp_keepalive_intvl", "net.ipv4.tcp_keepalive_probes", "net.ipv4.tcp_keepalive_time"),
        *("net.ipv4.tcp_rmem", "net.ipv4.tcp_syncookies", "net.ipv4.tcp_wmem"),
    }
)
_VOLUMES = frozenset(
    {
        *("configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "image", "persistentVolumeClaim", "projected"),
        "secret",
    }
)
_HOST_NAMESPACES = ("hostNetwork", "hostPID", "hostIPC")
_PROBES = ("livenessProbe", "readinessProbe", "startupProbe")


class Check(NamedTuple):
    """One rule of a level.

    `violation` says what is wrong with a spec, or nothing; a check of the level `restricted` may take the place of one
    of `baseline`, which it names.
    """

    reason: str
    level: str
    violation: Callable[[Spec], str]
    replaces: Callable[[Spec], str] | None = None


def violations(level: str, spec: Spec) -> list[str]:
    """What a pod's spec has that the level forbids: `REASON (DETAIL)`, a text a check."""
    if level == PRIVILEGED:
        return []
    checks = [check for check in CHECKS if check.level == BASELINE or level == RESTRICTED]
    replaced = {check.replaces for check in checks}
    found = ((check.reason, check.violation(spec)) for check in checks if check.violation not in replaced)
    return [f"{reason} ({detail})" for reason, detail in found if detail]


def _containers(spec: Spec) -> list[Mapping[str, Any]]:
    kinds = ("initContainers", "containers", "ephemeralContainers")
    return [container for kind in kinds for container in spec.get(kind) or ()]


def _context(holder: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = holder.get("securityContext") or {}
    return found


def _those(spec: Spec, holds: Callable[[Mapping[str, Any]], object]) -> _Names:
    """The names of the containers for whose security context something holds."""
    return [container.get("name", "") for container in _containers(spec) if holds(_context(container))]


def _quoted(words: Iterable[str]) -> str:
    return ", ".join(f'"{word}"' for word in words)


def _named(what: str, names: _Names) -> str:
    return f"{what}{'s' if len(names) > 1 else ''} {_quoted(names)}"


def _must(names: _Names, words: str) -> str:
    return f"{_named('container', names)} {words}" if names else ""


def _all(*parts: str) -> str:
    return "; ".join(part for part in parts if part)


def _host_namespaces(spec: Spec) -> str:
    return ", ".join(f"{field}=true" for field in _HOST_NAMESPACES if spec.get(field))


def _host_path(spec: Spec) -> str:
    names = [volume.get("name", "") for volume in spec.get("volumes") or () if "hostPath" in volume]
    return _named("volume", names) if names else ""


def _host_ports(spec: Spec) -> str:
    using = {
        container.get("name", ""): [str(p["hostPort"]) for p in container.get("ports") or () if p.get("hostPort")]
        for container in _containers(spec)
    }
    names = [name for name, ports in using.items() if ports]
    ports = sorted({port for found in using.values() for port in found}, key=int)
    verb = "use" if len(names) > 1 else "uses"
    return _must(names, f"{verb} hostPort{'s' if len(ports) > 1 else ''} {', '.join(ports)}")


def _host_probes(spec: Spec) -> str:
    names = [container.get("name", "") for container in _containers(spec) if any(_hosts(container))]
    return _must(names, "must not set a host in probes and lifecycle handlers")


def _hosts(container: Mapping[str, Any]) -> Iterable[str]:
    handlers = [container.get(probe) or {} for probe in _PROBES]
    handlers += [handler or {} for handler in (container.get("lifecycle") or {}).values() if isinstance(handler, dict)]
    for handler in handlers:
        for action in ("httpGet", "tcpSocket"):
            yield (handler.get(action) or {}).get("host") or ""


def _host_process(spec: Spec) -> str:
    def wants(holder: Mapping[str, Any]) -> object:
        return (holder.get("windowsOptions") or {}).get("hostProcess")

    words = "must not set securityContext.windowsOptions.hostProcess=true"
    return _all(f"pod {words}" if wants(_context(spec)) else "", _must(_those(spec, wants), words))


def _privileged(spec: Spec) -> str:
    return _must(_those(spec, lambda own: own.get("privileged")), "must not set securityContext.privileged=true")


def _added(spec: Spec, allowed: frozenset[str]) -> str:
    def beyond(own: Mapping[str, Any]) -> list[str]:
        return [one for one in (own.get("capabilities") or {}).get("add") or () if one not in allowed]

    names = _those(spec, beyond)
    what = sorted({one for container in _containers(spec) for one in beyond(_context(container))})
    return _must(names, f"must not include {_quoted(what)} in securityContext.capabilities.add")


def _capabilities(spec: Spec) -> str:
    return _added(spec, _BASE_CAPABILITIES)


def _dropped(spec: Spec) -> str:
    bare = _those(spec, lambda own: "ALL" not in ((own.get("capabilities") or {}).get("drop") or ()))
    words = 'must set securityContext.capabilities.drop=["ALL"]'
    return _all(_must(bare, words), _added(spec, frozenset({"NET_BIND_SERVICE"})))


def _app_armor(spec: Spec) -> str:
    def unconfined(own: Mapping[str, Any]) -> bool:
        return (own.get("appArmorProfile") or {}).get("type") == "Unconfined"

    words = 'must not set AppArmor profile type to "Unconfined"'
    return _all(f"pod {words}" if unconfined(_context(spec)) else "", _must(_those(spec, unconfined), words))


def _selinux(spec: Spec) -> str:
    def forbidden(own: Mapping[str, Any]) -> bool:
        options = own.get("seLinuxOptions") or {}
        return options.get("type", "") not in _SELINUX_TYPES or bool(options.get("user") or options.get("role"))

    words = "set forbidden securityContext.seLinuxOptions"
    return _all(f"pod {words}" if forbidden(_context(spec)) else "", _must(_those(spec, forbidden), words))


def _proc_mount(spec: Spec) -> str:
    names = _those(spec, lambda own: own.get("procMount", "Default") != "Default")
    return _must(names, 'must not set securityContext.procMount to "Unmasked"')


def _sysctls(spec: Spec) -> str:
    return ", ".join(
        one.get("name", "")
        for one in _context(spec).get("sysctls") or ()
        if one.get("name", "").replace("/", ".") not in _SYSCTLS
    )


def _seccomp_type(own: Mapping[str, Any]) -> str | None:
    found: str | None = (own.get("seccompProfile") or {}).get("type")
    return found


def _unconfined(spec: Spec) -> str:
    words = 'must not set securityContext.seccompProfile.type to "Unconfined"'
    pod = f"pod {words}" if _seccomp_type(_context(spec)) == "Unconfined" else ""
    return _all(pod, _must(_those(spec, lambda own: _seccomp_type(own) == "Unconfined"), words))


def _confined(spec: Spec) -> str:
    of_pod = _seccomp_type(_context(spec))
    bare = _those(spec, lambda own: _seccomp_type(own) is None) if of_pod is None else []
    words = 'must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost"'
    return _all(f"pod or {_named('container', bare)} {words}" if bare else "", _unconfined(spec))


def _escalation(spec: Spec) -> str:
    names = _those(spec, lambda own: own.get("allowPrivilegeEscalation") is not False)
    return _must(names, "must set securityContext.allowPrivilegeEscalation=false")


def _non_root(spec: Spec) -> str:
    of_pod = _context(spec).get("runAsNonRoot")
    bare = _those(spec, lambda own: own.get("runAsNonRoot") is None) if not of_pod else []
    against = _those(spec, lambda own: own.get("runAsNonRoot") is False)
    no = "must not set securityContext.runAsNonRoot=false"
    yes = "must set securityContext.runAsNonRoot=true"
    return _all(
        f"pod {no}" if of_pod is False and bare else "",
        _must(against, no),
        f"pod or {_named('container', bare)} {yes}" if bare and of_pod is None else "",
    )


def _root_user(spec: Spec) -> str:
    words = "must not set runAsUser=0"
    return _all(
        f"pod {words}" if _context(spec).get("runAsUser") == 0 else "",
        _must(_those(spec, lambda own: own.get("runAsUser") == 0), words),
    )


def _volume_types(spec: Spec) -> str:
    found = {
        volume.get("name", ""): next((kind for kind in volume if kind != "name" and kind not in _VOLUMES), "")
        for volume in spec.get("volumes") or ()
    }
    names, kinds = [name for name, kind in found.items() if kind], sorted({kind for kind in found.values() if kind})
    if not names:
        return ""
    verb = "use" if len(names) > 1 else "uses"
    return f"{_named('volume', names)} {verb} {_named('restricted volume type', kinds)}"


CHECKS = (
    Check("forbidden AppArmor profile", BASELINE, _app_armor),
    Check("non-default capabilities", BASELINE, _capabilities),
    Check("host namespaces", BASELINE, _host_namespaces),
    Check("hostPath volumes", BASELINE, _host_path),
    Check("hostPort", BASELINE, _host_ports),
    Check("probe or lifecycle host", BASELINE, _host_probes),
    Check("hostProcess", BASELINE, _host_process),
    Check("privileged", BASELINE, _privileged),
    Check("procMount", BASELINE, _proc_mount),
    Check("seccompProfile", BASELINE, _unconfined),
    Check("seLinuxOptions", BASELINE, _selinux),
    Check("forbidden sysctls", BASELINE, _sysctls),
    Check("allowPrivilegeEscalation != false", RESTRICTED, _escalation),
    Check("unrestricted capabilities", RESTRICTED, _dropped, replaces=_capabilities),
    Check("restricted volume types", RESTRICTED, _volume_types, replaces=_host_path),
    Check("runAsNonRoot != true", RESTRICTED, _non_root),
    Check("runAsUser=0", RESTRICTED, _root_user),
    Check("seccompProfile", RESTRICTED, _confined, replaces=_unconfined),
)
"""In the order in which violations are reported: by level, and then by the checks' names in Kubernetes."""
