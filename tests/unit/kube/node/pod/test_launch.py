"""The runtime's start requests follow from the pod."""

from __future__ import annotations

from typing import Any

import pytest

from mesh_lab.kube.config import KubeConfig
from mesh_lab.kube.node.env import ConfigProblem
from mesh_lab.kube.node.images import Image
from mesh_lab.kube.node.pod import launch
from tests.unit.kube.node.pods import container, typed_container, typed_pod

CONFIG = KubeConfig(name="lab", state_dir="/nowhere", api_fd=0, control_fd=0, lifeline_fd=0, api_port=0, rootless=False)
IMAGE = Image("img", ("entry",), ("usual",), user=5)


@pytest.mark.parametrize(
    ("fields", "argv"),
    [
        ({}, ["entry", "usual"]),
        ({"args": ["$(A)"]}, ["entry", "1"]),
        ({"command": ["own"]}, ["own"]),
        ({"command": ["own"], "args": ["$$(A)"]}, ["own", "$(A)"]),
    ],
)
def test_command_and_args_override_the_image_as_in_kubernetes(fields: dict[str, Any], argv: list[str]) -> None:
    assert launch.command(typed_container(**fields), IMAGE, {"A": "1"}) == argv


def test_an_image_without_a_command_needs_one() -> None:
    with pytest.raises(ConfigProblem, match='image "bare" has none'):
        launch.command(typed_container(), Image("bare"), {})


@pytest.mark.parametrize(
    ("pod", "own", "uid", "gid"),
    [
        ({}, {}, 5, None),
        ({"runAsUser": 1337}, {}, 1337, 0),
        ({"runAsUser": 1337, "runAsGroup": 7}, {"runAsUser": 0}, 0, 7),
        ({}, {"runAsUser": 1337, "runAsGroup": 1337}, 1337, 1337),
    ],
)
def test_the_containers_user_then_the_pods_then_the_images(
    pod: dict[str, Any], own: dict[str, Any], uid: int, gid: int | None
) -> None:
    typed = typed_pod(container(securityContext=own), securityContext=pod)
    who = launch.identity(typed, typed.spec.containers[0], IMAGE)
    assert who.uid == uid
    if gid is not None:
        assert who.gid == gid


@pytest.mark.parametrize(
    ("own", "message"),
    [
        ({"runAsNonRoot": True}, "container has runAsNonRoot and image will run as root"),
        ({"runAsNonRoot": True, "runAsUser": 0}, "container's runAsUser breaks non-root policy"),
    ],
)
def test_runasnonroot_refuses_root(own: dict[str, Any], message: str) -> None:
    typed = typed_pod(container(securityContext=own))
    with pytest.raises(ConfigProblem, match=message):
        launch.identity(typed, typed.spec.containers[0], Image("root"))


NET_ADMIN, NET_RAW, CHOWN, SYS_ADMIN = 12, 13, 0, 21


@pytest.mark.parametrize(
    ("context", "has", "has_not"),
    [
        ({}, {CHOWN, NET_RAW}, {NET_ADMIN, SYS_ADMIN}),
        ({"capabilities": {"add": ["NET_ADMIN"], "drop": ["CAP_CHOWN"]}}, {NET_ADMIN, NET_RAW}, {CHOWN}),
        ({"capabilities": {"drop": ["ALL"], "add": ["net_raw"]}}, {NET_RAW}, {CHOWN, NET_ADMIN}),
        ({"capabilities": {"add": ["ALL"], "drop": ["CHOWN"]}}, {NET_ADMIN}, {CHOWN, SYS_ADMIN}),
        ({"capabilities": {"add": ["SYS_ADMIN"]}}, {CHOWN}, {SYS_ADMIN}),
    ],
)
def test_capabilities(context: dict[str, Any], has: set[int], has_not: set[int]) -> None:
    numbers = set(launch.capabilities(typed_container(securityContext=context)))
    assert has <= numbers
    assert not has_not & numbers


def test_a_privileged_container_has_all_but_what_reaches_the_host() -> None:
    numbers = launch.capabilities(typed_container(securityContext={"privileged": True}))
    assert NET_ADMIN in numbers
    assert SYS_ADMIN not in numbers


def test_an_unknown_capability_is_named() -> None:
    with pytest.raises(ConfigProblem, match="FLY"):
        launch.capabilities(typed_container(securityContext={"capabilities": {"add": ["FLY"]}}))


def test_hosts_has_the_pod_its_subdomain_and_its_aliases() -> None:
    pod = typed_pod(hostname="h", subdomain="sub", hostAliases=[{"ip": "10.1.1.1", "hostnames": ["a", "b"]}])
    hosts = launch.etc_files(pod, ["10.244.0.9", "fd00:10:244::9"], CONFIG)["/etc/hosts"]
    for address in ("10.244.0.9", "fd00:10:244::9"):
        assert f"\n{address}\th.sub.default.svc.cluster.local\th\n" in hosts
    assert "10.1.1.1\ta\tb\n" in hosts


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        (
            {},
            (
                "search default.svc.cluster.local svc.cluster.local cluster.local\n"
                "nameserver 10.96.0.10\noptions ndots:5\n"
            ),
        ),
        ({"dnsPolicy": "Default"}, "nameserver 10.96.0.10\n"),
        (
            {
                "dnsPolicy": "None",
                "dnsConfig": {
                    "nameservers": ["1.2.3.4"],
                    "searches": ["x.y"],
                    "options": [{"name": "edns0"}, {"name": "ndots", "value": "2"}],
                },
            },
            "search x.y\nnameserver 1.2.3.4\noptions edns0 ndots:2\n",
        ),
    ],
)
def test_resolv_conf_by_policy(spec: dict[str, Any], text: str) -> None:
    assert launch.etc_files(typed_pod(**spec), ["10.244.0.9"], CONFIG)["/etc/resolv.conf"] == text


@pytest.mark.parametrize(
    ("target", "added"),
    [("/data", True), ("/etc/ssl/certs-of-mine", True), ("/etc/ssl/certs", False), ("/etc/ssl/", False)],
)
def test_the_authorities_are_bound_unless_a_volume_is_in_their_place(target: str, added: bool) -> None:
    mounts = [launch.Mount("/volume", target)]
    bundle = launch.Mount("/bundle", "/etc/ssl/certs/ca-certificates.crt", read_only=True)
    assert launch.with_bundle(mounts, (bundle.source, bundle.target)) == [*mounts, *([bundle] if added else [])]
