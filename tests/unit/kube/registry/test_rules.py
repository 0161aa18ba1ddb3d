"""What is refused, and in which words. Each case changes one thing of a manifest that is taken as it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from mesh_lab.kube import resources as kinds
from mesh_lab.kube.errors import ApiError
from mesh_lab.kube.registry import Patch, PatchKind, Registry
from mesh_lab.kube.resources import Resource
from tests.unit.kube.registry.manifests import config_map, crd, deployment, pod, service, set_at, webhook

Case = tuple[str, Any, str, str]
TEMPLATE = "spec.template.spec"
CONTAINER = f"{TEMPLATE}.containers.0"
IN_CONTAINER = "spec.template.spec.containers[0]"
RFC_1123 = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-'"


async def refused(registry: Registry, resource: Resource, obj: dict[str, Any]) -> dict[str, str]:
    """The causes of the refusal, message by field."""
    with pytest.raises(ApiError) as caught:
        await registry.create(resource, obj)
    assert (caught.value.code, caught.value.reason) == (422, "Invalid"), caught.value.message
    for cause in caught.value.causes:
        assert f"{cause.field}: {cause.message}" in caught.value.message or not cause.field
    return {cause.field: cause.message for cause in caught.value.causes}


@pytest.mark.parametrize(
    ("resource", "make"),
    [
        (kinds.DEPLOYMENTS, deployment),
        (kinds.PODS, pod),
        (kinds.SERVICES, service),
        (kinds.CONFIGMAPS, config_map),
        (kinds.CRDS, crd),
        (kinds.MUTATING_WEBHOOKS, webhook),
    ],
)
async def test_the_manifests_are_taken_unchanged(
    registry: Registry, resource: Resource, make: Callable[[], dict[str, Any]]
) -> None:
    assert (await registry.create(resource, make()))["metadata"]["uid"]


_DEPLOYMENT: list[Case] = [
    (
        f"{CONTAINER}.imagePullPolicy",
        "Foo",
        f"{IN_CONTAINER}.imagePullPolicy",
        'Unsupported value: "Foo": supported values: "Always", "IfNotPresent", "Never"',
    ),
    ("spec.selector", ..., "spec.selector", "Required value"),
    ("spec.template", ..., "spec.template", "Required value"),
    ("spec.selector", {}, "spec.selector", "Invalid value: {}: empty selector is invalid for deployment"),
    (
        "spec.selector.matchLabels",
        {"app": "db"},
        "spec.template.metadata.labels",
        'Invalid value: {"app":"web"}: `selector` does not match template `labels`',
    ),
    (
        "spec.selector.matchExpressions",
        [{"key": "app", "operator": "Near"}],
        "spec.selector.matchExpressions[0].operator",
        'Unsupported value: "Near": supported values: "DoesNotExist", "Exists", "In", "NotIn"',
    ),
    (
        "spec.selector.matchExpressions",
        [{"key": "app", "operator": "In"}],
        "spec.selector.matchExpressions[0].values",
        "Required value: must be specified when `operator` is 'In' or 'NotIn'",
    ),
    ("spec.replicas", -1, "spec.replicas", "Invalid value: -1: must be greater than or equal to 0"),
    (
        "spec.strategy",
        {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": "0%"}},
        "spec.strategy.rollingUpdate.maxUnavailable",
        'Invalid value: "0%": may not be 0 when `maxSurge` is 0',
    ),
    (
        "spec.strategy",
        {"rollingUpdate": {"maxSurge": "some"}},
        "spec.strategy.rollingUpdate.maxSurge",
        'Invalid value: "some": a valid percent string must be',
    ),
    (
        "spec.strategy",
        {"type": "Recreate", "rollingUpdate": {"maxSurge": 1}},
        "spec.strategy.rollingUpdate",
        "Forbidden: may not be specified when strategy `type` is 'Recreate'",
    ),
    ("spec.strategy", {"type": "Big"}, "spec.strategy.type", 'Unsupported value: "Big": supported values: "Recreate"'),
    (
        "spec.progressDeadlineSeconds",
        0,
        "spec.progressDeadlineSeconds",
        "Invalid value: 0: must be greater than minReadySeconds",
    ),
    (
        f"{TEMPLATE}.restartPolicy",
        "Never",
        f"{TEMPLATE}.restartPolicy",
        'Unsupported value: "Never": supported values: "Always"',
    ),
    (f"{TEMPLATE}.containers", [], f"{TEMPLATE}.containers", "Required value"),
    (f"{TEMPLATE}.containers", ..., f"{TEMPLATE}.containers", "Required value"),
    (f"{CONTAINER}.name", "Web_1", f"{IN_CONTAINER}.name", f'Invalid value: "Web_1": {RFC_1123}'),
    (f"{CONTAINER}.name", ..., f"{IN_CONTAINER}.name", "Required value"),
    (f"{CONTAINER}.image", ..., f"{IN_CONTAINER}.image", "Required value"),
    (
        f"{CONTAINER}.ports.0.containerPort",
        99999,
        f"{IN_CONTAINER}.ports[0].containerPort",
        "Invalid value: 99999: must be between 1 and 65535, inclusive",
    ),
    (f"{CONTAINER}.ports.0.containerPort", ..., f"{IN_CONTAINER}.ports[0].containerPort", "Required value"),
    (
        f"{CONTAINER}.ports.0.name",
        "a-name-that-is-too-long",
        f"{IN_CONTAINER}.ports[0].name",
        'Invalid value: "a-name-that-is-too-long": must be no more than 15 characters',
    ),
    (
        f"{CONTAINER}.ports",
        [{"name": "a", "containerPort": 1}, {"name": "a", "containerPort": 2}],
        f"{IN_CONTAINER}.ports[1].name",
        'Duplicate value: "a"',
    ),
    (
        f"{CONTAINER}.volumeMounts.0.name",
        "nowhere",
        f"{IN_CONTAINER}.volumeMounts[0].name",
        'Not found: "nowhere"',
    ),
    (f"{CONTAINER}.volumeMounts.0.mountPath", ..., f"{IN_CONTAINER}.volumeMounts[0].mountPath", "Required value"),
    (
        f"{CONTAINER}.volumeMounts",
        [{"name": "scratch", "mountPath": "/a"}, {"name": "scratch", "mountPath": "/a"}],
        f"{IN_CONTAINER}.volumeMounts[1].mountPath",
        'Invalid value: "/a": must be unique',
    ),
    (
        f"{CONTAINER}.volumeMounts.0.subPath",
        "a/../../b",
        f"{IN_CONTAINER}.volumeMounts[0].subPath",
        "Invalid value: \"a/../../b\": must not contain '..'",
    ),
    (
        f"{CONTAINER}.readinessProbe",
        {},
        f"{IN_CONTAINER}.readinessProbe",
        "Required value: must specify a handler type",
    ),
    (
        f"{CONTAINER}.readinessProbe",
        {"httpGet": {"port": 1}, "tcpSocket": {"port": 1}},
        f"{IN_CONTAINER}.readinessProbe.tcpSocket",
        "Forbidden: may not specify more than 1 handler type",
    ),
    (
        f"{CONTAINER}.readinessProbe",
        {"httpGet": {"port": 0}},
        f"{IN_CONTAINER}.readinessProbe.httpGet.port",
        "Invalid value: 0: must be between 1 and 65535, inclusive",
    ),
    (
        f"{CONTAINER}.livenessProbe",
        {"httpGet": {"port": 1}, "successThreshold": 2},
        f"{IN_CONTAINER}.livenessProbe.successThreshold",
        "Invalid value: 2: must be 1",
    ),
    (
        f"{CONTAINER}.readinessProbe",
        {"tcpSocket": {"port": 1}, "periodSeconds": -1},
        f"{IN_CONTAINER}.readinessProbe.periodSeconds",
        "Invalid value: -1: must be greater than or equal to 0",
    ),
    (
        f"{CONTAINER}.resources",
        {"requests": {"cpu": "2"}, "limits": {"cpu": "1500m"}},
        f"{IN_CONTAINER}.resources.requests",
        'Invalid value: "2": must be less than or equal to cpu limit of 1500m',
    ),
    (
        f"{CONTAINER}.resources",
        {"limits": {"gold": "1"}},
        f"{IN_CONTAINER}.resources.limits[gold]",
        'Invalid value: "gold": must be a standard resource type or fully qualified',
    ),
    (
        f"{CONTAINER}.resources",
        {"limits": {"memory": "-1"}},
        f"{IN_CONTAINER}.resources.limits[memory]",
        'Invalid value: "-1": must be greater than or equal to 0',
    ),
    (f"{CONTAINER}.env", [{"value": "x"}], f"{IN_CONTAINER}.env[0].name", "Required value"),
    (
        f"{CONTAINER}.env",
        [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "spec.nope"}}}],
        f"{IN_CONTAINER}.env[0].valueFrom.fieldRef.fieldPath",
        'Invalid value: "spec.nope": error converting fieldPath: field label not supported: spec.nope',
    ),
    (
        f"{CONTAINER}.env",
        [{"name": "A", "value": "x", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
        f"{IN_CONTAINER}.env[0].valueFrom",
        'Invalid value: "": may not be specified when `value` is not empty',
    ),
    (
        f"{CONTAINER}.env",
        [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s"}}}],
        f"{IN_CONTAINER}.env[0].valueFrom.secretKeyRef.key",
        "Required value",
    ),
    (f"{CONTAINER}.envFrom", [{"prefix": "X"}], f"{IN_CONTAINER}.envFrom[0]", 'Invalid value: "": must specify one of'),
    (
        f"{TEMPLATE}.initContainers",
        [{"name": "web", "image": "x"}],
        f"{TEMPLATE}.initContainers[0].name",
        'Duplicate value: "web"',
    ),
    (
        f"{TEMPLATE}.initContainers",
        [{"name": "init", "image": "x", "readinessProbe": {"tcpSocket": {"port": 1}}}],
        f"{TEMPLATE}.initContainers[0].readinessProbe",
        "Forbidden: may not be set for init containers without restartPolicy=Always",
    ),
    (
        f"{TEMPLATE}.volumes",
        [{"name": "scratch", "emptyDir": {}}, {"name": "scratch", "emptyDir": {}}],
        f"{TEMPLATE}.volumes[1].name",
        'Duplicate value: "scratch"',
    ),
    (
        f"{TEMPLATE}.volumes.0.hostPath",
        {"path": "/"},
        f"{TEMPLATE}.volumes[0].hostPath",
        "Forbidden: may not specify more than 1 volume type",
    ),
    (
        f"{TEMPLATE}.volumes.0",
        {"name": "scratch", "secret": {"secretName": "s", "defaultMode": 1000}},
        f"{TEMPLATE}.volumes[0].secret.defaultMode",
        "Invalid value: 1000: must be a number between 0 and 0777 (octal), both inclusive",
    ),
    (
        f"{TEMPLATE}.volumes.0",
        {"name": "scratch", "secret": {}},
        f"{TEMPLATE}.volumes[0].secret.secretName",
        "Required value",
    ),
    (
        f"{TEMPLATE}.volumes.0",
        {"name": "scratch", "projected": {"sources": [{"serviceAccountToken": {"path": "/t"}}]}},
        f"{TEMPLATE}.volumes[0].projected.sources[0].serviceAccountToken.path",
        'Invalid value: "/t": must be a relative path',
    ),
    (
        f"{TEMPLATE}.dnsPolicy",
        "None",
        f"{TEMPLATE}.dnsConfig.nameservers",
        "Required value: must provide at least one DNS nameserver when `dnsPolicy` is None",
    ),
    (f"{TEMPLATE}.hostname", "A.b", f"{TEMPLATE}.hostname", f'Invalid value: "A.b": {RFC_1123}'),
    (
        f"{TEMPLATE}.hostAliases",
        [{"ip": "nowhere"}],
        f"{TEMPLATE}.hostAliases[0].ip",
        'Invalid value: "nowhere": must be a valid IP address',
    ),
    ("metadata.name", "Web_1", "metadata.name", 'Invalid value: "Web_1": a lowercase RFC 1123 subdomain must consist'),
    ("metadata.name", ..., "metadata.name", "Required value: name or generateName is required"),
    ("metadata.labels", {"a b": "c"}, "metadata.labels", 'Invalid value: "a b": name part must consist of'),
    ("metadata.labels", {"a": "c d"}, "metadata.labels", 'Invalid value: "c d": a valid label must be an empty string'),
    (
        "metadata.annotations",
        {"a": "x" * 300_000},
        "metadata.annotations",
        "Too long: may not be more than 262144 bytes",
    ),
    (f"{TEMPLATE}.nodeSelector", {"a b": "c"}, f"{TEMPLATE}.nodeSelector", 'Invalid value: "a b": name part must'),
    (
        f"{TEMPLATE}.tolerations",
        [{"key": "a", "operator": "Exists", "value": "b"}],
        f"{TEMPLATE}.tolerations[0].operator",
        "Invalid value: \"Exists\": value must be empty when `operator` is 'Exists'",
    ),
    (
        f"{TEMPLATE}.tolerations",
        [{"value": "b"}],
        f"{TEMPLATE}.tolerations[0].operator",
        'Invalid value: "Equal": operator must be Exists when `key` is empty',
    ),
    (
        f"{TEMPLATE}.tolerations",
        [{"key": "a", "effect": "NoSchedule", "tolerationSeconds": 1}],
        f"{TEMPLATE}.tolerations[0].effect",
        "Invalid value: \"NoSchedule\": effect must be 'NoExecute' when `tolerationSeconds` is set",
    ),
    (
        f"{TEMPLATE}.topologySpreadConstraints",
        [{"maxSkew": 0, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}],
        f"{TEMPLATE}.topologySpreadConstraints[0].maxSkew",
        "Invalid value: 0: must be greater than zero",
    ),
    (
        "metadata.finalizers",
        ["bare"],
        "metadata.finalizers[0]",
        'Invalid value: "bare": name is neither a standard finalizer name nor is it fully qualified',
    ),
    (
        "metadata.ownerReferences",
        [{"apiVersion": "v1", "kind": "Pod", "name": "x"}],
        "metadata.ownerReferences[0].uid",
        "Required value: must not be empty",
    ),
]


@pytest.mark.parametrize(("path", "value", "field", "words"), _DEPLOYMENT, ids=lambda one: str(one)[:40])
async def test_a_deployment_is_refused(registry: Registry, path: str, value: Any, field: str, words: str) -> None:
    obj = deployment()
    set_at(obj, path, value)
    causes = await refused(registry, kinds.DEPLOYMENTS, obj)
    assert causes[field].startswith(words)


_SERVICE: list[Case] = [
    ("spec.ports", ..., "spec.ports", "Required value"),
    ("spec.type", "Cloud", "spec.type", 'Unsupported value: "Cloud": supported values: "ClusterIP", "ExternalName"'),
    ("spec.ports.0.port", 0, "spec.ports[0].port", "Invalid value: 0: must be between 1 and 65535, inclusive"),
    ("spec.ports.0.protocol", "ICMP", "spec.ports[0].protocol", 'Unsupported value: "ICMP": supported values: "SCTP"'),
    ("spec.ports", [{"port": 1}, {"port": 2}], "spec.ports[0].name", "Required value"),
    (
        "spec.ports",
        [{"name": "a", "port": 1}, {"name": "b", "port": 1}],
        "spec.ports[1]",
        'Duplicate value: {"protocol":"TCP","port":1}',
    ),
    ("spec.ports.0.nodePort", 30000, "spec.ports[0].nodePort", "Forbidden: may not be used when `type` is 'ClusterIP'"),
    ("spec.clusterIP", "10.96.0", "spec.clusterIPs[0]", 'Invalid value: "10.96.0": must be a valid IP address'),
    ("metadata.name", "1-web", "metadata.name", 'Invalid value: "1-web": a DNS-1035 label must consist of'),
    ("spec.selector", {"a": "b c"}, "spec.selector", 'Invalid value: "b c": a valid label'),
    (
        "spec.externalTrafficPolicy",
        "Local",
        "spec.externalTrafficPolicy",
        'Invalid value: "Local": may only be set for externally-accessible services',
    ),
]


@pytest.mark.parametrize(("path", "value", "field", "words"), _SERVICE, ids=lambda one: str(one)[:40])
async def test_a_service_is_refused(registry: Registry, path: str, value: Any, field: str, words: str) -> None:
    obj = service()
    set_at(obj, path, value)
    causes = await refused(registry, kinds.SERVICES, obj)
    assert causes[field].startswith(words)


async def test_an_external_name_has_to_be_given(registry: Registry) -> None:
    causes = await refused(registry, kinds.SERVICES, service(type="ExternalName"))
    assert causes == {"spec.externalName": "Required value"}


_WEBHOOK: list[Case] = [
    ("webhooks.0.name", "short", "webhooks[0].name", 'Invalid value: "short": should be a domain with at least three'),
    ("webhooks.0.sideEffects", "Some", "webhooks[0].sideEffects", 'Unsupported value: "Some"'),
    ("webhooks.0.sideEffects", ..., "webhooks[0].sideEffects", "Required value"),
    (
        "webhooks.0.admissionReviewVersions",
        ["v9"],
        "webhooks[0].admissionReviewVersions",
        'Invalid value: ["v9"]: must',
    ),
    ("webhooks.0.clientConfig", {}, "webhooks[0].clientConfig", "Required value: exactly one of url or service"),
    (
        "webhooks.0.clientConfig",
        {"url": "http://x"},
        "webhooks[0].clientConfig.url",
        "Invalid value: \"http\": 'https' is the only allowed URL scheme",
    ),
    (
        "webhooks.0.clientConfig.caBundle",
        "Zm9v",
        "webhooks[0].clientConfig.caBundle",
        'Invalid value: "Zm9v": unable to load root certificates',
    ),
    ("webhooks.0.timeoutSeconds", 31, "webhooks[0].timeoutSeconds", "Invalid value: 31: the timeout value must be"),
    ("webhooks.0.rules.0.operations", ["GET"], "webhooks[0].rules[0].operations[0]", 'Unsupported value: "GET"'),
    ("webhooks.0.rules.0.resources", [], "webhooks[0].rules[0].resources", "Required value"),
]


@pytest.mark.parametrize(("path", "value", "field", "words"), _WEBHOOK, ids=lambda one: str(one)[:40])
async def test_a_webhook_is_refused(registry: Registry, path: str, value: Any, field: str, words: str) -> None:
    obj = webhook()
    set_at(obj, path, value)
    causes = await refused(registry, kinds.MUTATING_WEBHOOKS, obj)
    assert causes[field].startswith(words)


SCHEMA = "spec.versions.0.schema.openAPIV3Schema"
AT_SCHEMA = "spec.versions[0].schema.openAPIV3Schema"
_CRD: list[Case] = [
    (
        "metadata.name",
        "wrong.example.com",
        "metadata.name",
        'Invalid value: "wrong.example.com": must be spec.names.pl',
    ),
    ("spec.scope", "Planet", "spec.scope", 'Unsupported value: "Planet": supported values: "Cluster", "Namespaced"'),
    ("spec.versions", [], "spec.versions", "Required value: must have exactly one version marked as storage version"),
    ("spec.versions.1.storage", True, "spec.versions", "Invalid value: [{"),
    ("spec.versions.0.schema", ..., AT_SCHEMA, "Required value: schemas are required"),
    (f"{SCHEMA}.type", "string", f"{AT_SCHEMA}.type", 'Invalid value: "string": must be object at the root'),
    (
        f"{SCHEMA}.properties.spec.properties.host",
        {"description": "untyped"},
        f"{AT_SCHEMA}.properties[spec].properties[host].type",
        "Required value: must not be empty for specified object fields",
    ),
    (
        f"{SCHEMA}.properties.spec.properties.host.type",
        "text",
        f"{AT_SCHEMA}.properties[spec].properties[host].type",
        'Unsupported value: "text": supported values: "array"',
    ),
    (
        f"{SCHEMA}.properties.spec.properties.host.pattern",
        "(",
        f"{AT_SCHEMA}.properties[spec].properties[host].pattern",
        'Invalid value: "(": must be a valid regular expression',
    ),
    (
        "spec.versions.0.additionalPrinterColumns.0.type",
        "text",
        "spec.versions[0].additionalPrinterColumns[0].type",
        'Invalid value: "text": must be one of',
    ),
    ("spec.names.kind", ..., "spec.names.kind", "Required value"),
    ("spec.group", "example", "spec.group", 'Invalid value: "example": should be a domain with at least one dot'),
]


@pytest.mark.parametrize(("path", "value", "field", "words"), _CRD, ids=lambda one: str(one)[:40])
async def test_a_definition_is_refused(registry: Registry, path: str, value: Any, field: str, words: str) -> None:
    obj = crd()
    set_at(obj, path, value)
    causes = await refused(registry, kinds.CRDS, obj)
    assert causes[field].startswith(words)


_OTHERS: list[tuple[Resource, dict[str, Any], str, str]] = [
    (kinds.CONFIGMAPS, {"data": {"a/b": "c"}}, "data[a/b]", 'Invalid value: "a/b": a valid config key must consist of'),
    (kinds.CONFIGMAPS, {"data": {"a": "x" * 1_100_000}}, "", "Too long: may not be more than 1048576 bytes"),
    (
        kinds.CONFIGMAPS,
        {"data": {"a": "x"}, "binaryData": {"a": "eA=="}},
        "data[a]",
        'Invalid value: "a": duplicate of key present in binaryData',
    ),
    (kinds.SECRETS, {"type": "kubernetes.io/tls", "data": {}}, "data[tls.crt]", "Required value"),
    (kinds.SECRETS, {"type": "kubernetes.io/basic-auth"}, "data[username]", "Required value"),
    (
        kinds.SECRETS,
        {"type": "kubernetes.io/service-account-token"},
        "metadata.annotations[kubernetes.io/service-account.name]",
        "Required value",
    ),
    (
        kinds.EVENTS,
        {"involvedObject": {"namespace": "elsewhere"}},
        "involvedObject.namespace",
        'Invalid value: "elsewhere": does not match event.namespace',
    ),
    (
        kinds.ENDPOINTSLICES,
        {"addressType": "IPv4", "endpoints": [{"addresses": ["fd00::1"]}]},
        "endpoints[0].addresses[0]",
        'Invalid value: "fd00::1": must be a valid IPv4 address',
    ),
    (kinds.ENDPOINTSLICES, {"endpoints": []}, "addressType", "Required value"),
    (kinds.ROLES, {"rules": [{"apiGroups": [""], "resources": ["pods"]}]}, "rules[0].verbs", "Required value: verbs"),
    (
        kinds.ROLEBINDINGS,
        {"roleRef": {"kind": "Role", "name": "r"}, "subjects": [{"kind": "ServiceAccount", "name": "s"}]},
        "subjects[0].namespace",
        "Required value",
    ),
]


@pytest.mark.parametrize(("resource", "body", "field", "words"), _OTHERS, ids=lambda one: str(one)[:40])
async def test_other_kinds_are_refused(
    registry: Registry, resource: Resource, body: dict[str, Any], field: str, words: str
) -> None:
    causes = await refused(registry, resource, {"metadata": {"name": "one", "namespace": "default"}, **body})
    assert causes[field].startswith(words)


async def test_ephemeral_containers_are_refused_rather_than_never_run(registry: Registry) -> None:
    await registry.create(kinds.PODS, {**pod("debugged"), "metadata": {"name": "debugged", "namespace": "default"}})
    debugger = {"name": "debugger", "image": "busybox", "targetContainerName": "main"}
    patch = Patch(PatchKind.STRATEGIC, {"spec": {"ephemeralContainers": [debugger]}})
    with pytest.raises(ApiError) as caught:
        await registry.patch(kinds.PODS, "debugged", "default", patch, subresource="ephemeralcontainers")
    assert caught.value.causes[0].field == "spec.ephemeralContainers"
    assert "kubectl exec" in caught.value.message


async def test_a_namespaces_finalizers_have_names(registry: Registry) -> None:
    causes = await refused(registry, kinds.NAMESPACES, {"metadata": {"name": "a"}, "spec": {"finalizers": ["bare"]}})
    assert causes["spec.finalizers[0]"].startswith('Invalid value: "bare": name is neither a standard finalizer name')


async def test_all_that_is_wrong_is_told_at_once(registry: Registry) -> None:
    obj = deployment()
    set_at(obj, f"{CONTAINER}.image", ...)
    set_at(obj, "spec.replicas", -1)
    causes = await refused(registry, kinds.DEPLOYMENTS, obj)
    assert set(causes) == {"spec.replicas", f"{IN_CONTAINER}.image"}
