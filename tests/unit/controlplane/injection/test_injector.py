"""What is added to a pod, and to which."""

from __future__ import annotations

import base64
import copy
import json

import pytest
from google.protobuf.struct_pb2 import Struct

from mesh_lab.controlplane.injection.injector import INIT, PROXY, Place, inject, patch, wanted
from mesh_lab.controlplane.model.mesh import MeshConfig
from mesh_lab.controlplane.world.values import Values
from tests.unit.controlplane.injection.injected import Object, bootstrap_of, named, pod, proxy_of


def applied(document: Object, operations: list[Object]) -> Object:
    """A JSON patch as far as it is used: add and replace of a field of a part."""
    new = copy.deepcopy(document)
    for operation in operations:
        assert operation["op"] in ("add", "replace")
        *path, last = operation["path"].strip("/").split("/")
        target = new
        for part in path:
            target = target[part]
        assert (last in target) == (operation["op"] == "replace")
        target[last] = operation["value"]
    return new


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, True),
        ({"labels": {"sidecar.istio.io/inject": "true"}}, True),
        ({"labels": {"sidecar.istio.io/inject": "false"}}, False),
        ({"annotations": {"sidecar.istio.io/inject": "false"}}, False),
        ({"annotations": {"sidecar.istio.io/inject": "yes"}}, True),
        (
            {"labels": {"sidecar.istio.io/inject": "true"}, "annotations": {"sidecar.istio.io/inject": "false"}},
            True,
        ),
    ],
)
def test_the_pods_own_word_goes_first(change: Object, expected: bool) -> None:
    assert wanted(pod(**change), "default") is expected


def test_pods_of_the_system_and_on_the_nodes_network_are_not_changed() -> None:
    on_node = pod()
    on_node["spec"]["hostNetwork"] = True
    assert not wanted(on_node, "default")
    assert not wanted(pod(), "kube-system")


def test_a_pod_is_injected_once() -> None:
    assert not wanted(inject(pod(), Place()), "default")


def test_a_sidecar_is_envoy_itself_with_all_it_needs() -> None:
    given = pod()
    before = copy.deepcopy(given)
    injected = inject(given, Place())
    assert given == before, "what the API server sent is not touched"
    proxy = proxy_of(injected)
    assert "command" not in proxy, "the image's own program is Envoy"
    assert proxy["securityContext"]["runAsUser"] == 1337
    assert proxy["readinessProbe"]["httpGet"] == {"path": "/healthz/ready", "port": 15021}
    assert {variable["name"] for variable in proxy["env"]} >= {"POD_NAME", "POD_NAMESPACE", "INSTANCE_IP"}
    node = bootstrap_of(proxy)["node"]
    assert node["id"] == "sidecar~$(INSTANCE_IP)~$(POD_NAME).$(POD_NAMESPACE)~$(POD_NAMESPACE).svc.cluster.local"
    assert node["metadata"]["WORKLOAD_NAME"] == "reviews-v1"
    volumes = {volume["name"] for volume in injected["spec"]["volumes"]}
    assert {mount["name"] for mount in proxy["volumeMounts"]} <= volumes
    token = named(injected["spec"]["volumes"], "istio-token")["projected"]["sources"][0]["serviceAccountToken"]
    assert token["audience"] == "istio-ca"
    assert token["expirationSeconds"] > 30 * 24 * 3600, "Envoy reads it when it starts"


@pytest.mark.parametrize(
    ("native", "order"), [("true", [INIT, PROXY, "migrate", "cache"]), ("false", ["migrate", "cache", INIT])]
)
def test_what_other_init_containers_send_finds_a_proxy_or_no_redirection(native: str, order: list[str]) -> None:
    given = pod({"sidecar.istio.io/nativeSidecar": native})
    given["spec"]["initContainers"] = [{"name": "migrate"}, {"name": "cache", "restartPolicy": "Always"}]
    initial = inject(given, Place())["spec"]["initContainers"]
    assert [container["name"] for container in initial] == order
    redirecting = named(initial, INIT)
    assert redirecting["securityContext"]["capabilities"]["add"] == ["NET_ADMIN", "NET_RAW"]
    assert "redirect to :15001" in redirecting["args"][0]


def test_probes_of_an_applications_own_sidecar_are_answered_by_the_proxy_once_it_can() -> None:
    probe: Object = {"httpGet": {"path": "/health", "port": 8383}}
    cache = {"name": "cache", "restartPolicy": "Always", "startupProbe": probe, "readinessProbe": probe}

    def asked_at(native: str) -> list[int]:
        given = pod({"sidecar.istio.io/nativeSidecar": native})
        given["spec"]["initContainers"] = [cache]
        injected = inject(given, Place())
        changed = named(injected["spec"]["initContainers"], "cache")
        return [changed[field]["httpGet"]["port"] for field in ("startupProbe", "readinessProbe")]

    assert asked_at("true") == [15020, 15020]
    assert asked_at("false") == [8383, 15020], "an ordinary proxy starts after it has started"


def test_an_applications_metrics_are_read_through_the_proxy() -> None:
    own = {"prometheus.io/scrape": "true", "prometheus.io/port": "8080", "prometheus.io/path": "/metrics"}
    injected = inject(pod(own), Place())
    annotations = injected["metadata"]["annotations"]
    assert annotations["prometheus.io/port"] == "15020"
    assert annotations["prometheus.io/path"] == "/stats/prometheus"
    clusters = bootstrap_of(proxy_of(injected))["static_resources"]["clusters"]
    assert "application-metrics|8080" in {cluster["name"] for cluster in clusters}
    assert "sidecar.istio.io/status" in annotations
    left = inject(pod({**own, "prometheus.istio.io/merge-metrics": "false"}), Place())
    assert left["metadata"]["annotations"]["prometheus.io/port"] == "8080"


def test_hooks_that_ask_the_application_go_through_the_proxy() -> None:
    lifecycle = {
        "preStop": {"httpGet": {"path": "/leave", "port": 9080, "httpHeaders": [{"name": "a", "value": "b"}]}},
        "postStart": {"exec": {"command": ["true"]}},
    }
    injected = inject(pod(lifecycle=lifecycle), Place())
    asked = named(injected["spec"]["containers"], "reviews")["lifecycle"]
    headers = [{"name": "a", "value": "b"}]
    path = "/app-lifecycle/reviews/prestopz"
    assert asked["preStop"] == {"httpGet": {"path": path, "port": 15020, "scheme": "HTTP", "httpHeaders": headers}}
    assert asked["postStart"] == lifecycle["postStart"]
    clusters = bootstrap_of(proxy_of(injected))["static_resources"]["clusters"]
    assert "probe|app-lifecycle|reviews|prestopz" in {cluster["name"] for cluster in clusters}


@pytest.mark.parametrize("where", ["containers", "initContainers"])
@pytest.mark.parametrize("native", ["true", "false"])
def test_what_the_author_wrote_for_the_proxys_container_goes_first(where: str, native: str) -> None:
    given = pod({"sidecar.istio.io/nativeSidecar": native})
    own = {"name": PROXY, "image": "auto", "resources": {"limits": {"cpu": "1"}}, "restartPolicy": "Always"}
    given["spec"].setdefault(where, []).append(own)
    spec = inject(given, Place())["spec"]
    (proxy,) = [c for c in [*spec["initContainers"], *spec["containers"]] if c["name"] == PROXY]
    assert proxy["resources"] == {"limits": {"cpu": "1"}}
    assert proxy["image"] == Values().image
    assert ("restartPolicy" in proxy) is (proxy in spec["initContainers"]) is (native == "true")


def test_labels_say_what_the_pod_is_in_the_mesh() -> None:
    meta = inject(pod(), Place())["metadata"]
    assert meta["labels"]["service.istio.io/canonical-name"] == "reviews"
    assert meta["labels"]["service.istio.io/canonical-revision"] == "v1"
    assert meta["labels"]["security.istio.io/tlsMode"] == "istio"
    status = json.loads(meta["annotations"]["sidecar.istio.io/status"])
    assert (status["initContainers"], status["containers"]) == ([INIT, PROXY], [])
    unlabelled = pod()
    del unlabelled["metadata"]["labels"]["app"], unlabelled["metadata"]["labels"]["version"]
    labels = inject(unlabelled, Place())["metadata"]["labels"]
    assert labels["service.istio.io/canonical-name"] == "reviews-v1"
    assert labels["service.istio.io/canonical-revision"] == "latest"


def test_a_gateways_container_becomes_a_router_without_redirection() -> None:
    given: Object = {
        "metadata": {"annotations": {"inject.istio.io/templates": "gateway"}, "labels": {"istio": "ingressgateway"}},
        "spec": {
            "containers": [
                {"name": PROXY, "image": "auto", "env": [{"name": "EXTRA", "value": "1"}], "resources": {"limits": {}}}
            ]
        },
    }
    injected = inject(given, Place())
    proxy = proxy_of(injected)
    assert proxy["image"] == Values().image
    assert {"name": "EXTRA", "value": "1"} in proxy["env"]
    assert proxy["resources"] == {"limits": {}}
    assert bootstrap_of(proxy)["node"]["id"].startswith("router~")
    assert "initContainers" not in injected["spec"]
    assert "security.istio.io/tlsMode" not in injected["metadata"]["labels"]
    assert [c["name"] for c in injected["spec"]["containers"]] == [PROXY]


def test_a_gateways_own_security_context_leaves_the_user_as_it_is() -> None:
    """As Istio's chart `gateway` writes it: a context without a user, in a container that must not be root's."""
    context = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": False, "runAsNonRoot": True}
    given: Object = {
        "metadata": {"annotations": {"inject.istio.io/templates": "gateway"}},
        "spec": {"containers": [{"name": PROXY, "image": "auto", "securityContext": context}]},
    }
    found = proxy_of(inject(given, Place()))["securityContext"]
    assert (found["runAsUser"], found["runAsGroup"]) == (1337, 1337)
    assert found["readOnlyRootFilesystem"] is False
    given["spec"]["containers"][0]["securityContext"] = {"runAsUser": 1000}
    assert proxy_of(inject(given, Place()))["securityContext"]["runAsUser"] == 1000


def test_the_patch_makes_of_the_pod_what_injection_made_of_it() -> None:
    given = pod(readinessProbe={"httpGet": {"path": "/health", "port": 9080}})
    injected = inject(given, Place())
    assert applied(given, patch(given, injected)) == injected
    bare: Object = {"metadata": {}, "spec": {"containers": []}}
    assert applied(bare, patch(bare, inject(bare, Place()))) == inject(bare, Place())


def test_probes_are_answered_by_the_proxy_and_asked_of_the_application() -> None:
    injected = inject(pod(readinessProbe={"httpGet": {"path": "/health", "port": 9080}, "periodSeconds": 3}), Place())
    probe = named(injected["spec"]["containers"], "reviews")["readinessProbe"]
    assert probe == {
        "httpGet": {"path": "/app-health/reviews/readyz", "port": 15020, "scheme": "HTTP"},
        "periodSeconds": 3,
    }
    listeners = bootstrap_of(proxy_of(injected))["static_resources"]["listeners"]
    assert 15020 in [listener["address"]["socket_address"]["port_value"] for listener in listeners]


def test_probes_can_be_left_as_they_are() -> None:
    declared = {"httpGet": {"path": "/health", "port": 9080}}
    kept = inject(pod({"sidecar.istio.io/rewriteAppHTTPProbers": "false"}, readinessProbe=declared), Place())
    assert named(kept["spec"]["containers"], "reviews")["readinessProbe"] == declared


def test_the_proxy_is_a_native_sidecar_unless_configured_otherwise() -> None:
    spec = inject(pod({"proxy.istio.io/config": "holdApplicationUntilProxyStarts: true"}), Place())["spec"]
    assert [container["name"] for container in spec["initContainers"]] == [INIT, PROXY]
    proxy = spec["initContainers"][1]
    assert proxy["restartPolicy"] == "Always"
    assert proxy["startupProbe"]["httpGet"] == {"path": "/healthz/ready", "port": 15021}
    assert "postStart" not in proxy["lifecycle"], "what it would wait for, the startup probe has"
    assert [container["name"] for container in spec["containers"]] == ["reviews"]
    ordinary = inject(pod({"sidecar.istio.io/nativeSidecar": "false"}), Place())
    assert [container["name"] for container in ordinary["spec"]["containers"]] == ["reviews", PROXY]
    status = json.loads(ordinary["metadata"]["annotations"]["sidecar.istio.io/status"])
    assert (status["initContainers"], status["containers"]) == ([INIT], [PROXY])


def test_a_proxy_ends_when_it_is_idle_where_its_metadata_says_so() -> None:
    text = 'proxyMetadata: {EXIT_ON_ZERO_ACTIVE_CONNECTIONS: "true", MINIMUM_DRAIN_DURATION: 2s}'
    script = proxy_of(inject(pod({"proxy.istio.io/config": text}), Place()))["lifecycle"]["preStop"]["exec"]["command"][
        -1
    ]
    assert "sleep 2\n" in script
    assert "SECONDS + 1000000000" in script


def test_kubectl_finds_the_applications_container() -> None:
    annotations = inject(pod(), Place())["metadata"]["annotations"]
    assert annotations["kubectl.kubernetes.io/default-container"] == "reviews"
    assert annotations["istio.io/rev"] == "default"
    own = inject(pod({"kubectl.kubernetes.io/default-container": "other"}), Place())["metadata"]["annotations"]
    assert own["kubectl.kubernetes.io/default-container"] == "other"


def test_the_environment_says_what_custom_tags_of_spans_ask_for() -> None:
    proxy = proxy_of(inject(pod(), Place(mesh=MeshConfig(trust_domain="shop.example"))))
    values = {each["name"]: each.get("value", each.get("valueFrom")) for each in proxy["env"]}
    assert values["ISTIO_META_CLUSTER_ID"] == "Kubernetes"
    assert values["ISTIO_META_WORKLOAD_NAME"] == "reviews-v1"
    assert values["ISTIO_META_MESH_ID"] == values["TRUST_DOMAIN"] == "shop.example"
    assert values["ISTIO_META_NODE_NAME"] == {"fieldRef": {"fieldPath": "spec.nodeName"}}
    assert values["HOST_IP"] == {"fieldRef": {"fieldPath": "status.hostIP"}}


def test_a_sidecar_can_tell_a_server_of_whom_it_is() -> None:
    proxy = proxy_of(inject(pod(), Place()))
    values = {each["name"]: each.get("value", "") for each in proxy["env"]}
    told = Struct.FromString(base64.b64decode(values["MESH_LAB_METADATA"]))
    assert (told["NAMESPACE"], told["WORKLOAD_NAME"]) == ("default", "reviews-v1")
    assert told["LABELS"]["app"] == "reviews"
    assert values["MESH_LAB_NODE"] == bootstrap_of(proxy)["node"]["id"]


@pytest.mark.parametrize(("value", "captured"), [("true", True), ("false", False)])
def test_a_pod_asks_its_proxy_where_that_captures_dns(value: str, captured: bool) -> None:
    text = f'proxyMetadata: {{ISTIO_META_DNS_CAPTURE: "{value}"}}'
    (rules,) = named(inject(pod({"proxy.istio.io/config": text}), Place())["spec"]["initContainers"], INIT)["args"]
    assert ("udp dport 53" in rules) is captured
