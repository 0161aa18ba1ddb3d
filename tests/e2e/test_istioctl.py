"""istioctl, unmodified: what it tells of a lab."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator

import pytest

from mesh_lab.testing import Mesh, destination_rule, route, to, virtual_service

ISTIOCTL = shutil.which("istioctl")
pytestmark = pytest.mark.skipif(
    ISTIOCTL is None, reason="istioctl is not on PATH; `mesh-lab tools install` puts it into .lab/bin"
)


class Istioctl:
    """istioctl for one namespace of the cluster."""

    def __init__(self, mesh: Mesh) -> None:
        self.mesh = mesh

    def __call__(self, *arguments: str, namespace: str = "", stdin: str | None = None, fails: bool = False) -> str:
        where = ("-n", namespace or self.mesh.namespace)
        done = subprocess.run(
            [str(ISTIOCTL), "--kubeconfig", str(self.mesh.api.kubeconfig), *where, *arguments],
            capture_output=True,
            text=True,
            timeout=60,
            input=stdin,
            check=False,
        )
        assert (done.returncode != 0) is fails, done
        return done.stdout + done.stderr


@pytest.fixture(scope="module")
def shop(mesh_shared: Mesh) -> Iterator[Mesh]:
    """Two versions of a service, a client, and a split between the versions."""
    mesh_shared.deploy_echo("shop", ["v1", "v2"])
    mesh_shared.deploy_client()
    mesh_shared.ready()
    split = route(to("shop", "v1", 90, port=80), to("shop", "v2", 10, port=80))
    with mesh_shared.applied([destination_rule("shop", "v1", "v2"), virtual_service("shop", split)]):
        yield mesh_shared


@pytest.fixture
def istioctl(shop: Mesh) -> Istioctl:
    return Istioctl(shop)


def pod_of(mesh: Mesh, app: str) -> str:
    path = ("get", "pods", "-l", f"app={app}", "-o", "jsonpath={.items[0].metadata.name}")
    return mesh.api.kubectl("-n", mesh.namespace, *path)


def test_it_tells_versions_of_control_plane_and_proxies(istioctl: Istioctl) -> None:
    told = istioctl("version")
    assert "control plane version: 1." in told
    assert "data plane version: 1." in told


def test_proxy_status_lists_each_proxy_and_compares_one(istioctl: Istioctl) -> None:
    name = pod_of(istioctl.mesh, "shop")
    assert f"{name}.{istioctl.mesh.namespace}" in istioctl("proxy-status")
    compared = istioctl("proxy-status", name)
    assert "Clusters Match" in compared
    assert "Listeners Match" in compared
    assert "Routes Match" in compared


def test_proxy_config_and_describe_show_what_was_made_of_resources(istioctl: Istioctl) -> None:
    name = pod_of(istioctl.mesh, "shop")
    host = f"shop.{istioctl.mesh.namespace}.svc.cluster.local"
    clusters = json.loads(istioctl("proxy-config", "clusters", name, "--fqdn", host, "-o", "json"))
    assert {f"outbound|80|v1|{host}", f"outbound|80||{host}"} <= {each["name"] for each in clusters}
    assert "shop" in istioctl("proxy-config", "routes", name, "--name", "80")
    described = istioctl("x", "describe", "service", "shop")
    assert "Port: http 80/HTTP targets pod port 8080" in described


def test_describe_knows_the_rule_that_defines_a_routes_subsets(istioctl: Istioctl) -> None:
    told = istioctl("experimental", "describe", "pod", pod_of(istioctl.mesh, "shop"))
    assert "DestinationRule: shop" in told
    assert "NO DESTINATION RULE" not in told


def test_analyze_finds_what_is_wrong(istioctl: Istioctl) -> None:
    broken = virtual_service("nobody", route(to("nobody", "v1", 100)))
    told = istioctl("analyze", "--use-kube=true", "-", stdin=json.dumps(broken), fails=True)
    assert "IST0101" in told


def test_analyze_has_nothing_to_say_of_the_lab_itself(istioctl: Istioctl) -> None:
    told = istioctl("analyze", namespace="istio-system", fails=False)
    assert "No validation issues found when analyzing namespace: istio-system" in told


def test_levels_of_the_log_are_set_and_reset(istioctl: Istioctl) -> None:
    assert "ads" in istioctl("admin", "log")
    istioctl("admin", "log", "--level", "ads:debug")
    try:
        lines = istioctl("admin", "log").splitlines()
        assert "debug" in next(line for line in lines if line.startswith("ads "))
    finally:
        istioctl("admin", "log", "--reset")


def test_internal_debug_gives_istiods_pages(istioctl: Istioctl) -> None:
    assert "syncz" in istioctl("x", "internal-debug", "--list")
    told = istioctl("x", "internal-debug", "adsz")
    assert pod_of(istioctl.mesh, "shop") in told
