"""Which pods get a sidecar, and what the sidecar is."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from mesh_lab.client.pods import running_containers
from mesh_lab.testing import Items, Mesh, Namespaces, Object

from .conftest import need_metrics
from .pods import deployment, echo, pod, shell

INJECT = "sidecar.istio.io/inject"
# At its very first moment, and with exit code 1 where nobody takes it.
CONNECTS = shell("exec bash -c 'exec 3<>/dev/tcp/istiod.istio-system/15014'")


def need_native_sidecars(mesh: Mesh) -> None:
    """Skips where Istio's proxy is no native sidecar yet."""
    version = mesh.api.request("GET", "/version")
    if int(version["minor"].rstrip("+")) < 33:
        pytest.skip(f"Kubernetes {version['gitVersion']}: the proxy is a native sidecar from 1.33 on")


def containers(pod: Object) -> set[str]:
    return {container["name"] for container in running_containers(pod)}


@pytest.fixture(scope="module")
def labelled(mesh_shared: Mesh) -> Mesh:
    mesh_shared.deploy_client("plain")
    mesh_shared.deploy_client("opted-out", labels={INJECT: "false"})
    mesh_shared.ready()
    return mesh_shared


@pytest.fixture(scope="module")
def silent(mesh_in: Callable[[str], Mesh], mesh_namespaces: Namespaces) -> Mesh:
    mesh = mesh_in(mesh_namespaces.create("injection-silent", injection=None))
    mesh.deploy_client("plain")
    mesh.deploy_client("opted-in", labels={INJECT: "true"})
    mesh.ready()
    return mesh


def test_pods_of_a_labelled_namespace_get_a_sidecar(labelled: Mesh) -> None:
    pod = labelled.pod("plain")
    assert containers(pod) == {"client", "istio-proxy"}
    assert "istio-init" in {container["name"] for container in pod["spec"]["initContainers"]}
    assert all(status["ready"] for status in pod["status"]["containerStatuses"])


def test_a_pod_may_do_without_one(labelled: Mesh) -> None:
    assert containers(labelled.pod("opted-out")) == {"client"}


def test_pods_of_other_namespaces_get_none(silent: Mesh) -> None:
    assert containers(silent.pod("plain")) == {"client"}


def test_a_pod_of_such_a_namespace_may_ask_for_one(silent: Mesh) -> None:
    assert containers(silent.pod("opted-in")) == {"client", "istio-proxy"}


def test_nothing_is_injected_where_it_is_disabled(outside: Mesh) -> None:
    outside.deploy_client("wants-one", labels={INJECT: "true"})
    outside.ready()
    assert containers(outside.pod("wants-one")) == {"client"}


def test_a_job_gets_out_through_a_native_sidecar_at_once_and_ends(labelled: Mesh) -> None:
    need_native_sidecars(labelled)
    (ref,) = labelled.apply(pod("job", CONNECTS, restartPolicy="Never"))
    try:
        path = labelled.api.path("v1", "Pod", labelled.namespace)
        labelled.api.wait_until(path, _over, timeout=60, why="the job and its sidecar end", describe=str)
        assert labelled.api.get(ref)["status"]["phase"] == "Succeeded", labelled.logs("job", "main")
    finally:
        labelled.remove([ref])


def test_an_ordinary_sidecar_ends_when_its_pod_asks_it_to(labelled: Mesh) -> None:
    """As wrappers of Jobs do it."""
    asks = "until mesh-lab-app send --method POST http://127.0.0.1:15020/quitquitquit | grep '200'; do sleep 0.2; done"
    job = pod("job", shell(asks), restartPolicy="Never")
    job["metadata"]["annotations"] = {"sidecar.istio.io/nativeSidecar": "false"}
    (ref,) = labelled.apply(job)
    try:
        path = labelled.api.path("v1", "Pod", labelled.namespace)
        labelled.api.wait_until(path, _over, timeout=60, why="the job and its sidecar end", describe=str)
        assert labelled.api.get(ref)["status"]["phase"] == "Succeeded", labelled.logs("job", "main")
    finally:
        labelled.remove([ref])


def _over(pods: Items) -> bool:
    job = next((obj for obj in pods.values() if obj["metadata"]["name"] == "job"), {})
    return job.get("status", {}).get("phase") in ("Succeeded", "Failed")


def test_strict_mutual_tls_keeps_neither_init_containers_nor_probes_nor_metrics_out(labelled: Mesh) -> None:
    need_native_sidecars(labelled)
    cache = {**echo("cache"), "args": [], "restartPolicy": "Always", "ports": [{"containerPort": 8383}]}
    cache["command"] = ["mesh-lab-app", "echo", "--port", "8383"]
    cache["startupProbe"] = cache["readinessProbe"] = {"httpGet": {"path": "/health", "port": 8383}, "periodSeconds": 1}
    probed = deployment("probed", echo("app"))
    template = probed["spec"]["template"]
    template["spec"]["initContainers"] = [{**CONNECTS, "name": "connects"}, cache]
    template["metadata"]["annotations"] = {"prometheus.io/port": "8080", "prometheus.io/path": "/figures"}
    strict = {
        "apiVersion": "security.istio.io/v1",
        "kind": "PeerAuthentication",
        "metadata": {"name": "probed"},
        "spec": {"selector": {"matchLabels": {"app": "probed"}}, "mtls": {"mode": "STRICT"}},
    }
    with labelled.applied([strict, probed]):
        labelled.ready()
        name = labelled.pod("probed")["metadata"]["name"]
        told = labelled.pod("probed")["metadata"]["annotations"]
        port, path = told["prometheus.io/port"], told["prometheus.io/path"]
        where = f"/api/v1/namespaces/{labelled.namespace}/pods/{name}:{port}/proxy{path}"
        page = str(labelled.api.request("GET", where))
        assert "envoy_" in page
        assert '"path": "/figures"' in page, "the application's answer follows"
        assert "LIVE" in labelled.exec(name, "pilot-agent", "request", "GET", "ready", container="istio-proxy")


def test_the_sidecar_runs_as_its_own_user(labelled: Mesh) -> None:
    pod = labelled.pod("plain")["metadata"]["name"]
    assert labelled.exec(pod, "id", "-u", container="istio-proxy").strip() == "1337"


def test_the_sidecar_tells_of_itself_on_its_ports(labelled: Mesh) -> None:
    assert labelled.client("plain").send("http://127.0.0.1:15021/healthz/ready")[0].status == 200
    assert "envoy_server_" in labelled.proxy("plain").metrics()


def test_istiod_tells_a_pod_without_an_identity_nothing_of_others(labelled: Mesh) -> None:
    pod = labelled.client("opted-out")
    assert pod.send("http://istiod.istio-system:15014/debug/syncz")[0].status == 401
    assert pod.send("http://istiod.istio-system:15014/metrics")[0].status == 200
    assert labelled.syncz().proxies, "an administrator is told"


def test_the_sidecar_counts_requests(labelled: Mesh) -> None:
    need_metrics(labelled, "plain")
    labelled.client("plain").send("http://istiod.istio-system:15014/ready")
    assert "istio_requests_total" in labelled.proxy("plain").metrics()


def test_annotations_shape_the_proxys_container(labelled: Mesh) -> None:
    shaped = deployment("shaped", echo("app"))
    shaped["spec"]["template"]["metadata"]["annotations"] = {
        "sidecar.istio.io/proxyCPU": "20m",
        "sidecar.istio.io/proxyMemory": "64Mi",
        "sidecar.istio.io/userVolume": '{"own": {"emptyDir": {}}}',
        "sidecar.istio.io/userVolumeMount": '{"own": {"mountPath": "/etc/own"}}',
        "readiness.status.sidecar.istio.io/periodSeconds": "2",
    }
    with labelled.applied([shaped]):
        labelled.ready()
        made = labelled.pod("shaped")
        (proxy,) = [each for each in running_containers(made) if each["name"] == "istio-proxy"]
        assert proxy["resources"]["requests"] == {"cpu": "20m", "memory": "64Mi"}
        assert proxy["readinessProbe"]["periodSeconds"] == 2
        assert labelled.exec(made["metadata"]["name"], "ls", "-d", "/etc/own", container="istio-proxy").strip()
        assert made["metadata"]["annotations"]["kubectl.kubernetes.io/default-container"] == "app"


def test_a_proxy_config_and_an_annotation_start_the_proxy(labelled: Mesh) -> None:
    config = {
        "apiVersion": "networking.istio.io/v1beta1",
        "kind": "ProxyConfig",
        "metadata": {"name": "configured"},
        "spec": {
            "selector": {"matchLabels": {"app": "configured"}},
            "concurrency": 2,
            "environmentVariables": {"FROM_RESOURCE": "1"},
        },
    }
    configured = deployment("configured", echo("app"))
    own = "concurrency: 1\nproxyMetadata: {FROM_POD: '1'}\ndrainDuration: 20s"
    configured["spec"]["template"]["metadata"]["annotations"] = {"proxy.istio.io/config": own}
    with labelled.applied([config, configured]):
        labelled.ready()
        name = labelled.pod("configured")["metadata"]["name"]
        environment = labelled.exec(name, "env", container="istio-proxy").splitlines()
        assert {"FROM_RESOURCE=1", "FROM_POD=1"} <= set(environment)
        info = json.loads(labelled.exec(name, "pilot-agent", "request", "GET", "server_info", container="istio-proxy"))
        options = info["command_line_options"]
        assert (options["concurrency"], options["drain_time"]) == (2, "20s"), "a resource that selects it goes first"


def test_an_ordinary_sidecar_may_hold_the_application_until_it_has_started(labelled: Mesh) -> None:
    held = pod("job", CONNECTS, restartPolicy="Never")
    held["metadata"]["annotations"] = {
        "sidecar.istio.io/nativeSidecar": "false",
        "proxy.istio.io/config": "holdApplicationUntilProxyStarts: true",
    }
    (ref,) = labelled.apply(held)
    try:

        def ended(pods: Items) -> bool:
            job = next((obj for obj in pods.values() if obj["metadata"]["name"] == "job"), {})
            states = {each["name"]: each["state"] for each in job.get("status", {}).get("containerStatuses", ())}
            return "terminated" in states.get("main", {})

        path = labelled.api.path("v1", "Pod", labelled.namespace)
        labelled.api.wait_until(path, ended, timeout=60, why="the application ends", describe=str)
        statuses = labelled.api.get(ref)["status"]["containerStatuses"]
        (state,) = [each["state"]["terminated"] for each in statuses if each["name"] == "main"]
        assert state["exitCode"] == 0, labelled.logs("job", "main")
    finally:
        labelled.remove([ref])


def test_a_deployment_of_ones_own_becomes_a_gateway(labelled: Mesh) -> None:
    """As on the page on gateways: a container `istio-proxy` with the image `auto`."""
    gateway = deployment("own-gateway", {"name": "istio-proxy", "image": "auto"})
    template = gateway["spec"]["template"]
    template["metadata"]["annotations"] = {"inject.istio.io/templates": "gateway"}
    template["metadata"]["labels"] |= {"istio": "own-gateway", INJECT: "true"}
    template["spec"]["securityContext"] = {"sysctls": [{"name": "net.ipv4.ip_unprivileged_port_start", "value": "0"}]}
    opened = {
        "apiVersion": "networking.istio.io/v1",
        "kind": "Gateway",
        "metadata": {"name": "own"},
        "spec": {
            "selector": {"istio": "own-gateway"},
            "servers": [{"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": ["own.example"]}],
        },
    }
    answers = {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"name": "own"},
        "spec": {"hosts": ["own.example"], "gateways": ["own"], "http": [{"directResponse": {"status": 418}}]},
    }
    with labelled.applied([gateway, opened, answers]):
        labelled.ready()
        address = labelled.pod("own-gateway")["status"]["podIP"]
        (answer,) = labelled.client("opted-out").send(f"http://{address}/", headers={"host": "own.example"})
        assert answer.status == 418
