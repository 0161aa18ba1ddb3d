"""What is added to a pod, and to which."""

from __future__ import annotations

import base64
import copy
import json
from typing import Any

import pytest
from google.protobuf.struct_pb2 import Struct

from mesh_lab.controlplane.injection.injector import INIT, PROXY, Place, inject, patch, wanted
from mesh_lab.controlplane.istiokinds import decode
from mesh_lab.controlplane.model.mesh import MeshConfig
from mesh_lab.controlplane.model.proxyconfig import ProxyConfig
from mesh_lab.controlplane.world.annotations import HEEDED_ANNOTATIONS, INJECT
from mesh_lab.controlplane.world.kubernetes import Origin
from mesh_lab.controlplane.world.meshconfig import parse
from mesh_lab.controlplane.world.snapshot import Config
from mesh_lab.controlplane.world.values import Values, parse_values

Object = dict[str, Any]


def pod(annotations: Object | None = None, labels: Object | None = None, **container: Any) -> Object:
    return {
        "metadata": {
            "generateName": "reviews-v1-5f6b-",
            "labels": {"app": "reviews", "version": "v1", "pod-template-hash": "5f6b", **(labels or {})},
            "annotations": annotations or {},
            "ownerReferences": [{"kind": "ReplicaSet", "name": "reviews-v1-5f6b", "controller": True}],
        },
        "spec": {"containers": [{"name": "reviews", "image": "reviews", **container}]},
    }


def named(containers: list[Object], name: str) -> Object:
    return next(container for container in containers if container["name"] == name)


def proxy_of(injected: Object) -> Object:
    return named([*injected["spec"].get("initContainers", ()), *injected["spec"]["containers"]], PROXY)


def bootstrap_of(container: Object) -> Object:
    arguments = container["args"]
    document: Object = json.loads(arguments[arguments.index("--config-yaml") + 1])
    return document


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


CHOICES = {
    "sidecar.istio.io/inject": "false",
    "inject.istio.io/templates": "gateway",
    "proxy.istio.io/config": "concurrency: 7",
    "sidecar.istio.io/proxyImage": "other",
    "sidecar.istio.io/logLevel": "trace",
    "sidecar.istio.io/rewriteAppHTTPProbers": "false",
    "sidecar.istio.io/nativeSidecar": "false",
    "prometheus.istio.io/merge-metrics": "false",
    "prometheus.istio.io/scrape-targets": "8080",
    "sidecar.istio.io/statsInclusionPrefixes": "a",
    "sidecar.istio.io/statsInclusionSuffixes": "a",
    "sidecar.istio.io/statsInclusionRegexps": "a",
    "traffic.sidecar.istio.io/includeInboundPorts": "1",
    "traffic.sidecar.istio.io/excludeInboundPorts": "1",
    "traffic.sidecar.istio.io/excludeOutboundPorts": "1",
    "traffic.sidecar.istio.io/includeOutboundIPRanges": "10.0.0.0/8",
    "traffic.sidecar.istio.io/excludeOutboundIPRanges": "10.0.0.0/8",
    "traffic.sidecar.istio.io/includeOutboundPorts": "443",
    "traffic.sidecar.istio.io/excludeInterfaces": "net1",
    "traffic.sidecar.istio.io/kubevirtInterfaces": "net1",
    "istio.io/reroute-virtual-interfaces": "net1",
    "sidecar.istio.io/componentLogLevel": "rbac:debug",
    "sidecar.istio.io/proxyCPU": "200m",
    "sidecar.istio.io/proxyCPULimit": "1",
    "sidecar.istio.io/proxyMemory": "64Mi",
    "sidecar.istio.io/proxyMemoryLimit": "1Gi",
    "sidecar.istio.io/bootstrapOverride": "custom",
    "sidecar.istio.io/userVolume": '{"certs": {"secret": {"secretName": "certs"}}}',
    "sidecar.istio.io/userVolumeMount": '{"certs": {"mountPath": "/etc/certs", "readOnly": true}}',
    "sidecar.istio.io/statsFlushInterval": "3s",
    "sidecar.istio.io/statsHistogramBuckets": '{"istio": [1, 5, 10]}',
    "status.sidecar.istio.io/port": "0",
    "readiness.status.sidecar.istio.io/initialDelaySeconds": "3",
    "readiness.status.sidecar.istio.io/periodSeconds": "3",
    "readiness.status.sidecar.istio.io/failureThreshold": "3",
}


@pytest.mark.parametrize("name", sorted(HEEDED_ANNOTATIONS))
def test_each_annotation_that_is_said_to_be_heeded_changes_something(name: str) -> None:
    given = pod({name: CHOICES[name]}, readinessProbe={"httpGet": {"path": "/health", "port": 9080}})
    without = pod({}, readinessProbe={"httpGet": {"path": "/health", "port": 9080}})
    if name == INJECT:
        assert not wanted(given, "default")
        return
    changed, usual = inject(given, Place()), inject(without, Place())
    changed["metadata"]["annotations"].pop(name, None)
    assert changed != usual


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


def test_annotations_choose_for_their_pod() -> None:
    text = """
    concurrency: 3
    holdApplicationUntilProxyStarts: true
    drainDuration: 2s
    terminationDrainDuration: 9s
    proxyStatsMatcher: {inclusionRegexps: [".*upstream_cx.*"]}
    """
    annotations = {
        "proxy.istio.io/config": text,
        "sidecar.istio.io/logLevel": "debug",
        "sidecar.istio.io/nativeSidecar": "false",
    }
    containers = inject(pod(annotations), Place())["spec"]["containers"]
    assert [container["name"] for container in containers] == [PROXY, "reviews"]
    arguments = containers[0]["args"]
    assert arguments[arguments.index("--concurrency") + 1] == "3"
    assert arguments[arguments.index("--drain-time-s") + 1] == "2"
    assert arguments[arguments.index("--log-level") + 1] == "debug"
    assert "postStart" in containers[0]["lifecycle"]
    assert "SECONDS + 9" in containers[0]["lifecycle"]["preStop"]["exec"]["command"][-1]
    patterns = bootstrap_of(containers[0])["stats_config"]["stats_matcher"]["inclusion_list"]["patterns"]
    assert {"safe_regex": {"regex": ".*upstream_cx.*"}} in patterns


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


@pytest.mark.parametrize(
    ("annotation", "value", "words"),
    [
        ("proxy.istio.io/config", "concurrency: many", "proxy.istio.io/config"),
        ("proxy.istio.io/config", "terminationDrainDuration: soon", "terminationDrainDuration"),
        ("proxy.istio.io/config", "drainDuration: 1.5s", ": drainDuration: drain time only supports"),
        ("sidecar.istio.io/proxyCPU", "much", "proxyCPU: 'much' is not a quantity"),
        ("sidecar.istio.io/logLevel", "loud", "logLevel: 'loud' is none of"),
        ("sidecar.istio.io/userVolume", "[]", "userVolume: not a JSON object"),
        ("sidecar.istio.io/userVolumeMount", "{", "userVolumeMount: not JSON"),
        ("sidecar.istio.io/statsFlushInterval", "soon", "statsFlushInterval"),
        ("sidecar.istio.io/statsHistogramBuckets", '{"istio": [5, 1]}', "each is larger"),
        ("status.sidecar.istio.io/port", "http", "is not a port"),
        ("readiness.status.sidecar.istio.io/periodSeconds", "-1", "periodSeconds"),
        ("traffic.sidecar.istio.io/excludeInterfaces", 'a"b', "excludeInterfaces"),
        ("traffic.sidecar.istio.io/includeOutboundPorts", "x", "includeOutboundPorts"),
        ("proxy.istio.io/config", "{", "proxy.istio.io/config"),
        ("proxy.istio.io/config", 'proxyStatsMatcher: {inclusionRegexps: ["("]}', "proxy.istio.io/config"),
        ("sidecar.istio.io/statsInclusionRegexps", "a.*,(?=b)", "statsInclusionRegexps: invalid regex"),
        ("traffic.sidecar.istio.io/excludeInboundPorts", "http", "excludeInboundPorts"),
        ("sidecar.istio.io/nativeSidecar", "maybe", "nativeSidecar: 'maybe' is neither true nor false"),
        ("sidecar.istio.io/rewriteAppHTTPProbers", "", "rewriteAppHTTPProbers"),
        ("prometheus.io/port", "web", "prometheus.io/port"),
        ("traffic.sidecar.istio.io/excludeOutboundIPRanges", "10.0.0.0/64", "excludeOutboundIPRanges"),
    ],
)
def test_a_bad_annotation_is_named(annotation: str, value: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        inject(pod({annotation: value}), Place())


def test_the_meshs_values_are_for_all_and_a_bad_one_is_named() -> None:
    values = parse_values("image: mine\nconcurrency: 2\n")
    proxy = proxy_of(inject(pod(), Place(values=values)))
    assert proxy["image"] == "mine"
    assert parse_values("") == Values()
    with pytest.raises(ValueError, match=r"istio-sidecar-injector.*concurrency"):
        parse_values("concurrency: two")


def argument(container: Object, name: str) -> str:
    return str(container["args"][container["args"].index(name) + 1])


def proxy_config(namespace: str, name: str, created: str, spec: Object) -> Config[ProxyConfig]:
    decoded = decode("ProxyConfig", spec)
    assert isinstance(decoded, ProxyConfig)
    return Config(Origin("ProxyConfig", namespace, name), namespace, name, {}, created, decoded)


def test_the_meshs_default_config_is_for_all_pods_and_an_annotation_for_one() -> None:
    mesh = parse("""
    enablePrometheusMerge: false
    defaultConfig:
      concurrency: 3
      drainDuration: 1m
      fileFlushInterval: 2s
      gatewayTopology: {numTrustedProxies: 1}
      proxyMetadata: {ISTIO_META_DNS_CAPTURE: "true", A: mesh}
      runtimeValues: {a.flag: "true", a.number: "2.5"}
    """)
    assert mesh.remarks == ()
    place = Place(mesh=mesh.config)
    proxy = proxy_of(inject(pod({"prometheus.io/port": "80"}), place))
    assert [argument(proxy, f"--{name}") for name in ("concurrency", "drain-time-s", "file-flush-interval-msec")] == [
        "3",
        "60",
        "2000",
    ]
    assert {"name": "A", "value": "mesh"} in proxy["env"]
    started = bootstrap_of(proxy)
    assert started["node"]["metadata"]["DNS_CAPTURE"] == "true"
    assert started["layered_runtime"]["layers"][0]["static_layer"]["a.flag"] is True
    assert "application-metrics|80" not in {cluster["name"] for cluster in started["static_resources"]["clusters"]}
    assert argument(proxy_of(inject(pod({"proxy.istio.io/config": "concurrency: 5"}), place)), "--concurrency") == "5"
    all_of_them = proxy_of(inject(pod({"proxy.istio.io/config": "concurrency: 0"}), place))
    assert "--concurrency" not in all_of_them["args"], "then there are as many as processors"


def test_a_proxy_config_is_for_the_pods_of_its_scope() -> None:
    configs = (
        proxy_config(
            "istio-system", "mesh", "1", {"concurrency": 2, "environmentVariables": {"A": "mesh", "B": "mesh"}}
        ),
        proxy_config("shop", "second", "3", {"concurrency": 9}),
        proxy_config("shop", "first", "2", {"concurrency": 3, "environmentVariables": {"B": "shop"}}),
        proxy_config("shop", "reviews", "4", {"selector": {"matchLabels": {"app": "reviews"}}, "concurrency": 4}),
    )
    place = Place(proxy_configs=configs)

    def workers(namespace: str, app: str) -> str:
        return argument(proxy_of(inject(pod(labels={"app": app}), place, namespace)), "--concurrency")

    assert workers("default", "reviews") == "2"
    assert workers("shop", "ratings") == "3", "the oldest of a namespace holds"
    assert workers("shop", "reviews") == "4"
    proxy = proxy_of(inject(pod(), place, "shop"))
    assert {"name": "A", "value": "mesh"} in proxy["env"]
    assert {"name": "B", "value": "shop"} in proxy["env"]


def test_istios_values_choose_for_all_and_a_pod_for_itself() -> None:
    place = Place(
        values=parse_values("""
        global:
          imagePullPolicy: Always
          proxy:
            image: proxyv2
            includeIPRanges: 10.0.0.1/24
            excludeInboundPorts: "8081"
            logLevel: error
            holdApplicationUntilProxyStarts: true
            readinessPeriodSeconds: 15
        sidecarInjectorWebhook: {injectedAnnotations: {sidecar.istio.io/nativeSidecar: "false"}}
        """)
    )
    injected = inject(pod(), place)
    (rules,) = named(injected["spec"]["initContainers"], INIT)["args"]
    assert "ip daddr { 10.0.0.0/24 } meta l4proto tcp redirect to :15001" in rules
    assert "8081 } return" in rules
    first = injected["spec"]["containers"][0]
    assert (first["name"], first["image"], first["imagePullPolicy"]) == (PROXY, Values().image, "Always")
    assert first["lifecycle"]["postStart"] == {"exec": {"command": ["pilot-agent", "wait"]}}
    assert first["readinessProbe"]["periodSeconds"] == 15
    assert argument(first, "--log-level") == "error"
    own = inject(pod({"traffic.sidecar.istio.io/includeOutboundIPRanges": "*"}), place)
    assert "10.0.0.0/24" not in named(own["spec"]["initContainers"], INIT)["args"][0]


@pytest.mark.parametrize(
    ("values", "image"),
    [
        ("hub: docker.io/istio, tag: 1.30.3, proxy: {image: proxyv2}", "docker.io/istio/proxyv2:1.30.3"),
        ("hub: docker.io/istio, tag: 1.30, proxy: {image: proxyv2}", "docker.io/istio/proxyv2:1.3"),
        ("hub: docker.io/istio, tag: 1.30.3, proxy: {image: mine/proxy}", "mine/proxy"),
        ("tag: 1.30.3, proxy: {image: proxyv2}", Values().image),
        ("hub: docker.io/istio, tag: 1.30.3", Values().image),
    ],
)
def test_the_image_is_that_of_istios_hub_and_tag_as_istioctl_expects_it(values: str, image: str) -> None:
    place = Place(values=parse_values(f"global: {{{values}}}"))
    assert proxy_of(inject(pod(), place))["image"] == image


def test_a_pods_author_adds_volumes_and_a_bootstrap() -> None:
    injected = inject(pod(CHOICES | {"inject.istio.io/templates": "sidecar"}), Place())
    volumes = {volume["name"]: volume for volume in injected["spec"]["volumes"]}
    assert volumes["certs"]["secret"] == {"secretName": "certs"}
    assert volumes["custom-bootstrap-volume"]["configMap"] == {"name": "custom"}
    proxy = proxy_of(injected)
    mounts = {mount["name"]: mount for mount in proxy["volumeMounts"]}
    assert mounts["certs"] == {"name": "certs", "mountPath": "/etc/certs", "readOnly": True}
    assert argument(proxy, "--config-path") == mounts["custom-bootstrap-volume"]["mountPath"] + "/custom_bootstrap.json"
    assert proxy["resources"] == {
        "requests": {"cpu": "200m", "memory": "64Mi"},
        "limits": {"cpu": "1", "memory": "1Gi"},
    }
    assert "readinessProbe" not in proxy


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
