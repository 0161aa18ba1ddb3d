"""What is wrong, or doubtful, about a resource: the form in which it is reported."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from mesh_lab.controlplane.validation.common import Severity
from mesh_lab.controlplane.world.kubernetes import Origin

NAMES: Mapping[str, str] = {
    "IST0001": "InternalError",
    "IST0101": "ReferencedResourceNotFound",
    "IST0102": "NamespaceNotInjected",
    "IST0103": "PodMissingProxy",
    "IST0104": "GatewayPortNotOnWorkload",
    "IST0106": "SchemaValidationError",
    "IST0107": "MisplacedAnnotation",
    "IST0108": "UnknownAnnotation",
    "IST0109": "ConflictingMeshGatewayVirtualServiceHosts",
    "IST0110": "ConflictingSidecarWorkloadSelectors",
    "IST0111": "MultipleSidecarsWithoutWorkloadSelectors",
    "IST0112": "VirtualServiceDestinationPortSelectorRequired",
    "IST0116": "DeploymentAssociatedToMultipleServices",
    "IST0118": "PortNameIsNotUnderNamingConvention",
    "IST0127": "NoMatchingWorkloadsFound",
    "IST0130": "VirtualServiceUnreachableRule",
    "IST0131": "VirtualServiceIneffectiveMatch",
    "IST0132": "VirtualServiceHostNotFoundInGateway",
    "IST0133": "SchemaWarning",
    "IST0137": "DeploymentConflictingPorts",
    "IST0145": "ConflictingGateways",
    "IST0151": "EnvoyFilterUsesRelativeOperation",
    "IST0152": "EnvoyFilterUsesReplaceOperationIncorrectly",
    "IST0153": "EnvoyFilterUsesAddOperationIncorrectly",
    "IST0154": "EnvoyFilterUsesRemoveOperationIncorrectly",
    "IST0155": "EnvoyFilterUsesRelativeOperationWithProxyVersion",
    "IST0173": "DestinationRuleSubsetNotSelectPods",
}
"""Istio's names of the codes: https://istio.io/latest/docs/reference/config/analysis/."""


class Finding(NamedTuple):
    """One remark on one field. `code` is that of `istioctl analyze` where Istio has one."""

    severity: Severity
    code: str
    message: str
    path: str
    origin: Origin

    @property
    def name(self) -> str:
        """The code in words: the reason of a condition or an Event."""
        return NAMES.get(self.code, self.code)

    @property
    def text(self) -> str:
        """The message, with the field that it is about."""
        return self.message if self.path in self.message else f"{self.path}: {self.message}"
