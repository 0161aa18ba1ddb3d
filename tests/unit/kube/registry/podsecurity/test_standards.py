"""The levels of the Pod Security Standards, check by check, in Kubernetes' words."""

from __future__ import annotations

from typing import Any

import pytest

from mesh_lab.kube.registry.podsecurity.standards import CHECKS, violations

SOUND = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "runAsNonRoot": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}
SYSCTL = {"name": "net.core.somaxconn", "value": "1"}


def spec(*contexts: dict[str, Any], **fields: Any) -> dict[str, Any]:
    names = iter("abcdef")
    containers = [{"name": next(names), "securityContext": context} for context in contexts or (SOUND,)]
    return {"containers": containers, **fields}


def one(**fields: Any) -> dict[str, Any]:
    return {"containers": [{"name": "a", "securityContext": SOUND, **fields}]}


@pytest.mark.parametrize(
    ("pod", "words"),
    [
        (spec({"privileged": True}), 'privileged (container "a" must not set securityContext.privileged=true)'),
        (
            spec({"capabilities": {"add": ["NET_RAW", "KILL"]}}, {"capabilities": {"add": ["NET_ADMIN"]}}),
            (
                'non-default capabilities (containers "a", "b" must not include "NET_ADMIN", "NET_RAW" in '
                "securityContext.capabilities.add)"
            ),
        ),
        (spec(hostNetwork=True, hostIPC=True), "host namespaces (hostNetwork=true, hostIPC=true)"),
        (
            spec(volumes=[{"name": "v", "hostPath": {"path": "/"}}, {"name": "w", "hostPath": {"path": "/"}}]),
            'hostPath volumes (volumes "v", "w")',
        ),
        (one(ports=[{"hostPort": 80}, {"hostPort": 443}]), 'hostPort (container "a" uses hostPorts 80, 443)'),
        (
            one(livenessProbe={"httpGet": {"host": "elsewhere", "port": 1}}),
            'probe or lifecycle host (container "a" must not set a host in probes and lifecycle handlers)',
        ),
        (
            spec(securityContext={"windowsOptions": {"hostProcess": True}}),
            "hostProcess (pod must not set securityContext.windowsOptions.hostProcess=true)",
        ),
        (
            spec({"appArmorProfile": {"type": "Unconfined"}}),
            'forbidden AppArmor profile (container "a" must not set AppArmor profile type to "Unconfined")',
        ),
        (
            spec({"seLinuxOptions": {"type": "spc_t"}}),
            'seLinuxOptions (container "a" set forbidden securityContext.seLinuxOptions)',
        ),
        (
            spec({"procMount": "Unmasked"}),
            'procMount (container "a" must not set securityContext.procMount to "Unmasked")',
        ),
        (
            spec(securityContext={"seccompProfile": {"type": "Unconfined"}}),
            'seccompProfile (pod must not set securityContext.seccompProfile.type to "Unconfined")',
        ),
        (spec(securityContext={"sysctls": [SYSCTL]}), "forbidden sysctls (net.core.somaxconn)"),
    ],
)
def test_baseline(pod: dict[str, Any], words: str) -> None:
    assert violations("baseline", pod) == [words]
    assert violations("privileged", pod) == []
    assert violations("restricted", pod) != []


def test_a_pod_without_security_settings_is_baseline_and_not_restricted() -> None:
    assert ", ".join(violations("restricted", spec({}))) == (
        'allowPrivilegeEscalation != false (container "a" must set securityContext.allowPrivilegeEscalation=false), '
        'unrestricted capabilities (container "a" must set securityContext.capabilities.drop=["ALL"]), '
        'runAsNonRoot != true (pod or container "a" must set securityContext.runAsNonRoot=true), '
        'seccompProfile (pod or container "a" must set securityContext.seccompProfile.type to "RuntimeDefault" or '
        '"Localhost")'
    )
    assert violations("baseline", spec({})) == []


@pytest.mark.parametrize(
    ("pod", "words"),
    [
        (
            spec({**SOUND, "capabilities": {"drop": ["ALL"], "add": ["KILL"]}}),
            'unrestricted capabilities (container "a" must not include "KILL" in securityContext.capabilities.add)',
        ),
        (
            spec(volumes=[{"name": "v", "hostPath": {"path": "/"}}]),
            'restricted volume types (volume "v" uses restricted volume type "hostPath")',
        ),
        (
            spec({**SOUND, "runAsNonRoot": False}, securityContext={"runAsNonRoot": True}),
            'runAsNonRoot != true (container "a" must not set securityContext.runAsNonRoot=false)',
        ),
        (spec(securityContext={"runAsUser": 0}), "runAsUser=0 (pod must not set runAsUser=0)"),
    ],
)
def test_restricted(pod: dict[str, Any], words: str) -> None:
    assert violations("restricted", pod) == [words]


def test_settings_of_containers_or_of_the_pod_satisfy_restricted() -> None:
    assert violations("restricted", spec()) == []
    rest = {key: value for key, value in SOUND.items() if key not in ("runAsNonRoot", "seccompProfile")}
    whole = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    assert violations("restricted", spec(rest, securityContext=whole)) == []


def test_init_containers_count() -> None:
    pod = {
        **spec(),
        "initContainers": [{"name": "istio-init", "securityContext": {"capabilities": {"add": ["NET_ADMIN"]}}}],
    }
    assert violations("baseline", pod) == [
        (
            'non-default capabilities (container "istio-init" must not include "NET_ADMIN" in '
            "securityContext.capabilities.add)"
        )
    ]


def test_no_check_fails_where_nothing_is_set() -> None:
    assert [check.violation({}) for check in CHECKS] == [""] * len(CHECKS)
