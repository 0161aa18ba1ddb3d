"""What a pod, the mesh configuration, ProxyConfigs and Istio's values choose of what is added."""

from __future__ import annotations

import pytest

from mesh_lab.controlplane.injection.injector import INIT, PROXY, Place, inject, wanted
from mesh_lab.controlplane.istiokinds import decode
from mesh_lab.controlplane.model.proxyconfig import ProxyConfig
from mesh_lab.controlplane.world.annotations import HEEDED_ANNOTATIONS, INJECT
from mesh_lab.controlplane.world.kubernetes import Origin
from mesh_lab.controlplane.world.meshconfig import parse
from mesh_lab.controlplane.world.snapshot import Config
from mesh_lab.controlplane.world.values import Values, parse_values
from tests.unit.controlplane.injection.injected import Object, argument, bootstrap_of, named, pod, proxy_of

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
