"""Which values single fields may have: (Go type, field) → rule. For the fields of every built-in kind."""

from __future__ import annotations

from collections.abc import Mapping

_PROTOCOLS = ("SCTP", "TCP", "UDP")
_TAINT_EFFECTS = ("NoExecute", "NoSchedule", "PreferNoSchedule")
_POLICIES = ("Cluster", "Local")
_LIST_OPERATORS = ("DoesNotExist", "Exists", "In", "NotIn")

# An empty value passes: where it is not allowed, the field is required or has a default.
ENUMS: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("Container", "imagePullPolicy"): ("Always", "IfNotPresent", "Never"),
    ("Container", "terminationMessagePolicy"): ("FallbackToLogsOnError", "File"),
    ("Container", "restartPolicy"): ("Always",),
    ("EphemeralContainer", "imagePullPolicy"): ("Always", "IfNotPresent", "Never"),
    ("EphemeralContainer", "terminationMessagePolicy"): ("FallbackToLogsOnError", "File"),
    ("ContainerPort", "protocol"): _PROTOCOLS,
    ("ContainerResizePolicy", "restartPolicy"): ("NotRequired", "RestartContainer"),
    ("PodSpec", "restartPolicy"): ("Always", "Never", "OnFailure"),
    ("PodSpec", "dnsPolicy"): ("ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"),
    ("PodSpec", "preemptionPolicy"): ("Never", "PreemptLowerPriority"),
    ("PodStatus", "phase"): ("Failed", "Pending", "Running", "Succeeded", "Unknown"),
    ("PodOS", "name"): ("linux", "windows"),
    ("PodSecurityContext", "fsGroupChangePolicy"): ("Always", "OnRootMismatch"),
    ("SeccompProfile", "type"): ("Localhost", "RuntimeDefault", "Unconfined"),
    ("AppArmorProfile", "type"): ("Localhost", "RuntimeDefault", "Unconfined"),
    ("SecurityContext", "procMount"): ("Default", "Unmasked"),
    ("HTTPGetAction", "scheme"): ("HTTP", "HTTPS"),
    ("VolumeMount", "mountPropagation"): ("Bidirectional", "HostToContainer", "None"),
    ("VolumeMount", "recursiveReadOnly"): ("Disabled", "Enabled", "IfPossible"),
    ("HostPathVolumeSource", "type"): (
        "BlockDevice",
        "CharDevice",
        "Directory",
        "DirectoryOrCreate",
        "File",
        "FileOrCreate",
        "Socket",
    ),
    ("Toleration", "operator"): ("Equal", "Exists"),
    ("Toleration", "effect"): _TAINT_EFFECTS,
    ("Taint", "effect"): _TAINT_EFFECTS,
    ("TopologySpreadConstraint", "whenUnsatisfiable"): ("DoNotSchedule", "ScheduleAnyway"),
    ("NodeSelectorRequirement", "operator"): ("DoesNotExist", "Exists", "Gt", "In", "Lt", "NotIn"),
    ("LabelSelectorRequirement", "operator"): _LIST_OPERATORS,
    ("DeploymentStrategy", "type"): ("Recreate", "RollingUpdate"),
    ("ServiceSpec", "type"): ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort"),
    ("ServiceSpec", "sessionAffinity"): ("ClientIP", "None"),
    ("ServiceSpec", "externalTrafficPolicy"): _POLICIES,
    ("ServiceSpec", "internalTrafficPolicy"): _POLICIES,
    ("ServiceSpec", "ipFamilyPolicy"): ("PreferDualStack", "RequireDualStack", "SingleStack"),
    ("ServiceSpec", "ipFamilies"): ("IPv4", "IPv6"),
    ("ServicePort", "protocol"): _PROTOCOLS,
    ("EndpointPort", "protocol"): _PROTOCOLS,
    ("EndpointSlice", "addressType"): ("FQDN", "IPv4", "IPv6"),
    ("NamespaceStatus", "phase"): ("Active", "Terminating"),
    ("MutatingWebhook", "failurePolicy"): ("Fail", "Ignore"),
    ("MutatingWebhook", "matchPolicy"): ("Equivalent", "Exact"),
    ("MutatingWebhook", "reinvocationPolicy"): ("IfNeeded", "Never"),
    ("MutatingWebhook", "sideEffects"): ("None", "NoneOnDryRun"),
    ("ValidatingWebhook", "failurePolicy"): ("Fail", "Ignore"),
    ("ValidatingWebhook", "matchPolicy"): ("Equivalent", "Exact"),
    ("ValidatingWebhook", "sideEffects"): ("None", "NoneOnDryRun"),
    ("RuleWithOperations", "operations"): ("*", "CONNECT", "CREATE", "DELETE", "UPDATE"),
    ("RuleWithOperations", "scope"): ("*", "Cluster", "Namespaced"),
    ("CustomResourceDefinitionSpec", "scope"): ("Cluster", "Namespaced"),
    ("CustomResourceConversion", "strategy"): ("None", "Webhook"),
    ("Subject", "kind"): ("Group", "ServiceAccount", "User"),
    ("RoleRef", "kind"): ("ClusterRole", "Role"),
}

# A port, by number or by name where the field takes both; True where it must be given.
PORTS: Mapping[tuple[str, str], bool] = {
    ("ContainerPort", "containerPort"): True,
    ("ContainerPort", "hostPort"): False,
    ("ServicePort", "port"): True,
    ("ServicePort", "targetPort"): True,
    ("ServicePort", "nodePort"): False,
    ("HTTPGetAction", "port"): True,
    ("TCPSocketAction", "port"): True,
    ("GRPCAction", "port"): True,
    ("EndpointPort", "port"): False,
    ("ServiceReference", "port"): False,
}

# The smallest number that a field may have.
MINIMA: Mapping[tuple[str, str], int] = {
    ("Probe", "initialDelaySeconds"): 0,
    ("Probe", "timeoutSeconds"): 0,
    ("Probe", "periodSeconds"): 0,
    ("Probe", "successThreshold"): 0,
    ("Probe", "failureThreshold"): 0,
    ("PodSpec", "terminationGracePeriodSeconds"): 0,
    ("PodSpec", "activeDeadlineSeconds"): 1,
    ("PodSecurityContext", "runAsUser"): 0,
    ("PodSecurityContext", "runAsGroup"): 0,
    ("PodSecurityContext", "fsGroup"): 0,
    ("SecurityContext", "runAsUser"): 0,
    ("SecurityContext", "runAsGroup"): 0,
    ("DeploymentSpec", "replicas"): 0,
    ("DeploymentSpec", "minReadySeconds"): 0,
    ("DeploymentSpec", "revisionHistoryLimit"): 0,
    ("DeploymentSpec", "progressDeadlineSeconds"): 0,
    ("ReplicaSetSpec", "replicas"): 0,
    ("ReplicaSetSpec", "minReadySeconds"): 0,
    ("ScaleSpec", "replicas"): 0,
    ("ServiceAccountTokenProjection", "expirationSeconds"): 600,
    ("LeaseSpec", "leaseDurationSeconds"): 1,
    ("LeaseSpec", "leaseTransitions"): 0,
}

# Modes of files in volumes.
MODES = frozenset(
    {
        ("KeyToPath", "mode"),
        ("DownwardAPIVolumeFile", "mode"),
        ("SecretVolumeSource", "defaultMode"),
        ("ConfigMapVolumeSource", "defaultMode"),
        ("DownwardAPIVolumeSource", "defaultMode"),
        ("ProjectedVolumeSource", "defaultMode"),
    }
)

# Fields that are required by the schema and may still be absent or empty: their zero value means something.
MAY_BE_EMPTY = frozenset({("HTTPHeader", "value"), ("Sysctl", "value"), ("Event", "involvedObject")})

# Lists that must not be empty, with the words that say so.
NOT_EMPTY: Mapping[tuple[str, str], str] = {
    ("PodSpec", "containers"): "",
    ("PolicyRule", "verbs"): "verbs must contain at least one value",
    ("NodeSelector", "nodeSelectorTerms"): "must have at least one node selector term",
}
