"""Whether each proxy is in sync, in the forms in which istioctl reads it.

`istioctl proxy-status` asks over ADS for Envoy's `ClientConfig`s, `istioctl version` over HTTP for a list in JSON.
Sources: pilot/pkg/xds/{debug,statusgen}.go of Istio 1.30.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from google.protobuf.any_pb2 import Any as AnyMessage

from mesh_lab.controlplane.delivery.messages import Exchange
from mesh_lab.controlplane.delivery.push import Connection
from mesh_lab.controlplane.xds.typeurls import CDS, EDS, LDS, RDS
from mesh_lab.istioversion import ISTIO_VERSION
from mesh_lab.rfc3339 import micro_timestamp

CLUSTER_ID = "Kubernetes"
"""The name of the only cluster, as Istio has it where no other is given."""
_FIELDS = {"cluster": CDS, "listener": LDS, "route": RDS, "endpoint": EDS}
_NONE = Exchange("", "", 0.0, "", (), synced=False)


def syncz(connections: Iterable[Connection], namespace: str = "") -> list[dict[str, Any]]:
    """The proxies, of one namespace or of all, with what was sent to each and what it has acknowledged."""
    return [_status(each) for each in by_name(connections) if namespace in ("", each.proxy.namespace)]


def client_configs(connections: Iterable[Connection], namespace: str = "") -> list[AnyMessage]:
    """The same as Envoy's messages."""
    from envoy.admin.v3.config_dump_shared_pb2 import UpdateFailureState
    from envoy.config.core.v3.base_pb2 import Node
    from envoy.service.status.v3.csds_pb2 import ClientConfig, ConfigStatus

    found = []
    for connection in by_name(connections):
        if namespace not in ("", connection.proxy.namespace):
            continue
        config = ClientConfig(node=Node(id=node_id(connection)))
        config.node.metadata.update(
            {"CLUSTER_ID": CLUSTER_ID, "NAMESPACE": connection.proxy.namespace, "ISTIO_VERSION": ISTIO_VERSION}
        )
        for url, exchange in sorted(_exchanges(connection).items()):
            part = config.generic_xds_configs.add(type_url=url, config_status=ConfigStatus.Value(state(exchange)))
            part.last_updated.FromDatetime(_time(exchange))
            if exchange.error:
                part.error_state.CopyFrom(UpdateFailureState(details=exchange.error))
                part.error_state.last_update_attempt.FromDatetime(_time(exchange))
        packed = AnyMessage()
        packed.Pack(config)
        found.append(packed)
    return found


def by_name(connections: Iterable[Connection]) -> list[Connection]:
    """Connections in the order in which they are listed."""
    return sorted(connections, key=lambda each: each.name)


def node_id(connection: Connection) -> str:
    """How Istio's listings name a proxy: the third part of its node's id."""
    return connection.name


def state(exchange: Exchange) -> str:
    """Envoy's word for how far a proxy is with a type."""
    if exchange.error:
        return "ERROR"
    if not exchange.sent:
        return "NOT_SENT"
    return "SYNCED" if exchange.synced else "STALE"


def _status(connection: Connection) -> dict[str, Any]:
    exchanges = _exchanges(connection)
    document: dict[str, Any] = {
        "cluster_id": CLUSTER_ID,
        "proxy": node_id(connection),
        "proxy_type": connection.proxy.kind,
        "istio_version": ISTIO_VERSION,
    }
    for name, url in _FIELDS.items():
        exchange = exchanges.get(url, _NONE)
        document |= {f"{name}_sent": exchange.sent, f"{name}_acked": exchange.acked}
    document["resources"] = {
        url: {
            "sent": exchange.sent,
            "acked": exchange.acked,
            "sentTime": micro_timestamp(_time(exchange)),
            **({"lastError": exchange.error} if exchange.error else {}),
        }
        for url, exchange in sorted(exchanges.items())
    }
    return {key: value for key, value in document.items() if value}


def _exchanges(connection: Connection) -> dict[str, Exchange]:
    """What is generated for a proxy may fail as a whole: then it is in error with every type."""
    exchanges = connection.session.exchanges()
    if not connection.fault:
        return exchanges
    return {url: each._replace(error=connection.fault) for url, each in exchanges.items()}


def _time(exchange: Exchange) -> datetime:
    return datetime.fromtimestamp(exchange.sent_at, UTC)
