"""The headers by which Istio's sidecars tell any server over HTTP who calls, and what.

Between sidecars the lab needs neither (see `peers`): only servers without one are sent them, in the mesh and outside.
Istio's sidecars send them to those as well (`SidecarOutboundMetadataFilter` in pilot/pkg/xds/filters/filters.go).
"""

from __future__ import annotations

import base64
from collections.abc import Mapping

from envoy.config.common.mutation_rules.v3.mutation_rules_pb2 import HeaderMutation as Mutation
from envoy.config.core.v3.base_pb2 import HeaderValue, HeaderValueOption
from envoy.extensions.filters.http.header_mutation.v3.header_mutation_pb2 import HeaderMutation, Mutations
from envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2 import HttpFilter
from google.protobuf.struct_pb2 import Struct

from mesh_lab.controlplane.xds.built import any_of, wire

METADATA_VARIABLE = "MESH_LAB_METADATA"
NODE_VARIABLE = "MESH_LAB_NODE"
"""Clusters are the same for all proxies, so the values are variables of a proxy's container."""

_HEADERS = {"x-envoy-peer-metadata": METADATA_VARIABLE, "x-envoy-peer-metadata-id": NODE_VARIABLE}
_OPERATION = "x-envoy-decorator-operation"
_CLUSTER = "Kubernetes"
_LABELS = ("app", "version", "service.istio.io/canonical-name", "service.istio.io/canonical-revision")


def introduce(operation: str = "") -> HttpFilter:
    """Set both headers, in place of the application's own. For clusters of sidecars.

    And the request's operation, which Envoy sets where spans are reported, with the path of the route. In Istio it sets
    it always, since its tracing is on without a tracer, too.
    """
    mutations = [
        Mutation(
            append=HeaderValueOption(
                header=HeaderValue(key=name, value=f"%ENVIRONMENT({variable})%"),
                append_action=HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD,
            )
        )
        for name, variable in _HEADERS.items()
    ]
    if operation:
        header = HeaderValue(key=_OPERATION, value=operation)
        option = HeaderValueOption(header=header, append_action=HeaderValueOption.ADD_IF_ABSENT)
        mutations.append(Mutation(append=option))
    config = HeaderMutation(mutations=Mutations(request_mutations=mutations))
    return HttpFilter(name="envoy.filters.http.header_mutation", typed_config=any_of(config))


def metadata(namespace: str, workload: str, labels: Mapping[str, str]) -> str:
    """The first header's value: a Struct in base64, with those of Istio's fields that a pod without a name has."""
    fields = Struct()
    fields["CLUSTER_ID"] = _CLUSTER
    fields["NAMESPACE"] = namespace
    fields["WORKLOAD_NAME"] = workload
    fields.get_or_create_struct("LABELS").update({name: labels[name] for name in _LABELS if name in labels})
    return base64.b64encode(wire(fields)).decode()
