"""What a proxy should have, as Envoy's own administration interface would show it: a `ConfigDump`.

`istioctl proxy-status POD` compares it with what the proxy says of itself. Only what the control plane sends is in it,
and of secrets only the names. Sources: pilot/pkg/xds/debug.go of Istio 1.30,
https://www.envoyproxy.io/docs/envoy/latest/api-v3/admin/v3/config_dump.proto
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from envoy.admin.v3.config_dump_pb2 import BootstrapConfigDump, SecretsConfigDump
from envoy.admin.v3.config_dump_shared_pb2 import (
    ClustersConfigDump,
    EcdsConfigDump,
    EndpointsConfigDump,
    ListenersConfigDump,
    RoutesConfigDump,
)
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

from mesh_lab.controlplane.delivery.messages import Resource
from mesh_lab.controlplane.delivery.push import Connection
from mesh_lab.controlplane.xds.typeurls import CDS, EDS, LDS, RDS, SDS

SHORT_TYPES: Mapping[str, str] = {"cds": CDS, "eds": EDS, "lds": LDS, "rds": RDS, "sds": SDS}
"""The names by which `types=` chooses what is shown."""


def config_dump(connection: Connection, *, endpoints: bool = False) -> list[AnyMessage]:
    """The sections of a proxy's configuration; routes are those that it has subscribed to."""
    version = str(connection.session.snapshot)
    desired = connection.session.desired()
    clusters = ClustersConfigDump(version_info=version)
    for each in _sorted(desired[CDS]):
        clusters.dynamic_active_clusters.add(cluster=_any(each))
    listeners = ListenersConfigDump(version_info=version)
    for each in _sorted(desired[LDS]):
        state = ListenersConfigDump.DynamicListenerState(listener=_any(each), version_info=version)
        listeners.dynamic_listeners.add(name=each.name, active_state=state)
    routes = RoutesConfigDump()
    subscribed = connection.session.names(RDS)
    for each in _sorted(desired[RDS]):
        if each.name in subscribed:
            routes.dynamic_route_configs.add(version_info=version, route_config=_any(each))
    secrets = SecretsConfigDump()
    for each in _sorted(desired[SDS]):
        secrets.dynamic_active_secrets.add(name=each.name, version_info=version)
    sections: list[Message] = [BootstrapConfigDump(), clusters]
    if endpoints:
        assignments = EndpointsConfigDump()
        for each in _sorted(desired[EDS]):
            assignments.dynamic_endpoint_configs.add(version_info=version, endpoint_config=_any(each))
        sections.append(assignments)
    return [_packed(section) for section in (*sections, listeners, routes, secrets, EcdsConfigDump())]


def of_types(connection: Connection, urls: Iterable[str]) -> list[AnyMessage]:
    """What a proxy should have of some types, without sections around it; of secrets nothing."""
    desired = connection.session.desired()
    return [_any(each) for url in urls if url != SDS for each in _sorted(desired[url])]


def as_json(messages: Iterable[AnyMessage]) -> dict[str, Any]:
    """A dump in JSON."""
    return {"configs": [_document(message) for message in messages]}


def _document(message: AnyMessage) -> Any:
    try:
        return MessageToDict(message)
    except TypeError as error:
        # A part of a type that this process has never loaded cannot be shown.
        return {"@type": message.type_url, "unreadable": str(error)}


def _sorted(resources: Mapping[str, Resource]) -> list[Resource]:
    return [resources[name] for name in sorted(resources)]


def _any(resource: Resource) -> AnyMessage:
    return AnyMessage.FromString(resource.body)


def _packed(message: Message) -> AnyMessage:
    packed = AnyMessage()
    packed.Pack(message)
    return packed
