"""istiod's debug pages, by Istio's names and in Istio's forms; each is served over HTTP and over ADS.

Istio says that their forms may change with each version; these are those of 1.30, and fields that nothing here has are
left out. Source: pilot/pkg/xds/debug.go of Istio 1.30.
"""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple

import orjson
import yaml

from mesh_lab.controlplane.debug import syncing
from mesh_lab.controlplane.delivery.push import Connection, Pusher
from mesh_lab.controlplane.delivery.state import ClusterState
from mesh_lab.controlplane.istiokinds import KINDS
from mesh_lab.controlplane.kube.client import KubeClient
from mesh_lab.controlplane.kube.kinds import CONFIG_MAPS, FOLLOWED
from mesh_lab.controlplane.world.kubernetes import Service

NO_PROXY = "You must provide a proxyID in the query string\n"
NOT_CONNECTED = "Proxy not connected to this Pilot instance. It may be connected to another instance.\n"
_OF_NAMESPACES = frozenset({"config_dump", "edsz"})
Query = Mapping[str, str]


class Page(NamedTuple):
    """An answer: JSON with status 200, or words."""

    status: int
    body: bytes
    is_json: bool = True


class _Refusal(Exception):  # noqa: N818 - an answer, not a fault
    def __init__(self, status: int, words: str) -> None:
        super().__init__(words)
        self.page = Page(status, words.encode(), is_json=False)


class IstioPages:
    """All pages of one control plane."""

    def __init__(self, api: KubeClient, state: ClusterState, pusher: Pusher, namespace: str) -> None:
        self._api = api
        self._state = state
        self._pusher = pusher
        self._namespace = namespace
        self._dump: Any = None
        self._pages: Mapping[str, Callable[[Query, str], Awaitable[Any]]] = {
            "adsz": self._adsz,
            "clusterz": self._clusterz,
            "config_distribution": self._config_distribution,
            "config_dump": self._config_dump,
            "configz": self._configz,
            "connections": self._connections,
            "edsz": self._edsz,
            "endpointShardz": self._endpointz,
            "endpointz": self._endpointz,
            "list": self._list,
            "mcsz": self._empty,
            "mesh": self._mesh,
            "networkz": self._empty,
            "registryz": self._registryz,
            "resourcesz": self._resourcesz,
            "syncz": self._syncz,
        }

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all pages."""
        return tuple(self._pages)

    def open_to(self, name: str, namespace: str) -> bool:
        """Whether service accounts of a namespace may see a page, which then shows only that namespace's proxies."""
        return namespace == self._namespace or name in _OF_NAMESPACES

    async def page(self, name: str, query: Query, namespace: str = "") -> Page:
        """A page; with a namespace, only of the proxies in it.

        Raises:
            ApiError: the API server answers with an error.
            Unreachable: the API server does not answer.
        """
        make = self._pages.get(name)
        if make is None:
            return Page(404, b"404 page not found\n", is_json=False)
        try:
            content = await make(query, namespace)
        except _Refusal as refusal:
            return refusal.page
        return Page(200, orjson.dumps(content, option=orjson.OPT_INDENT_2 if "pretty" in query else 0))

    async def find(self, proxy_id: str, namespace: str = "") -> Connection | None:
        """The connection whose name contains `proxy_id`; as with Istio a part of it is enough."""
        found = syncing.by_name(self._pusher.connections)
        exact = [each for each in found if proxy_id in (each.name, each.proxy.pod)]
        parts = [each for each in found if proxy_id in each.name]
        return next((each for each in (*exact, *parts) if namespace in ("", each.proxy.namespace)), None)

    async def dump(self) -> Any:
        """The module that makes dumps: Envoy's messages for them are loaded by a thread, when they are first needed."""
        if self._dump is None:
            self._dump = await asyncio.to_thread(importlib.import_module, "mesh_lab.controlplane.debug.dump")
        return self._dump

    async def _wanted(self, query: Query, namespace: str) -> Connection:
        wanted = query.get("proxyID", "")
        if not wanted:
            raise _Refusal(400, NO_PROXY)
        connection = await self.find(wanted, namespace)
        if connection is None:
            raise _Refusal(404, NOT_CONNECTED)
        return connection

    async def _syncz(self, query: Query, _: str) -> Any:
        return syncing.syncz(self._pusher.connections, query.get("namespace", ""))

    async def _config_dump(self, query: Query, namespace: str) -> Any:
        connection, dump = await self._wanted(query, namespace), await self.dump()
        if types := query.get("types", ""):
            urls = [dump.SHORT_TYPES[each] for each in types.lower().split(",") if each in dump.SHORT_TYPES]
            return dump.as_json(dump.of_types(connection, urls))
        return dump.as_json(dump.config_dump(connection, endpoints="include_eds" in query))

    async def _edsz(self, query: Query, namespace: str) -> Any:
        return await self._config_dump({**query, "types": "eds"}, namespace)

    async def _connections(self, _query: Query, _: str) -> Any:
        return _clients([_client(each) for each in syncing.by_name(self._pusher.connections)])

    async def _adsz(self, query: Query, namespace: str) -> Any:
        if "proxyID" in query:
            found = [await self._wanted(query, namespace)]
        else:
            found = syncing.by_name(self._pusher.connections)
        return _clients([{**_client(each), **_details(each)} for each in found])

    async def _clusterz(self, _query: Query, _: str) -> Any:
        synced = "synced" if self._state.complete else "syncing"
        return [{"id": syncing.CLUSTER_ID, "secretName": "", "syncStatus": synced}]

    async def _config_distribution(self, query: Query, _: str) -> Any:
        """The version of a resource that each proxy has, by type; of older istioctls' `experimental wait`."""
        kind, name, namespace = _resource(query.get("resource", ""))
        origin_key = (kind, namespace, name)
        known = self._state.included(origin_key)
        if known is None:
            raise _Refusal(404, f"there is no {kind} {namespace}/{name}\n")
        version = str(self._state.subjects[origin_key].generation)
        rows = []
        for each in syncing.by_name(self._pusher.connections):
            behind = each.session.snapshot < known.snapshot or bool(each.session.behind(origin_key, known.snapshot)[0])
            have = "" if behind else version
            rows.append({"proxy": each.name} | {f"{part}_acked": have for part in ("cluster", "listener", "route")})
        return rows

    async def _configz(self, _query: Query, _: str) -> Any:
        lists = await asyncio.gather(*(self._api.list_all(FOLLOWED[name]) for name in KINDS))
        return [
            {"apiVersion": f"{FOLLOWED[name].group}/{FOLLOWED[name].version}", "kind": name, **found}
            for name, (objects, _) in zip(KINDS, lists, strict=True)
            for found in objects
        ]

    async def _resourcesz(self, _query: Query, _: str) -> Any:
        return [{"group": kind.group, "version": kind.versions[0], "kind": kind.name} for kind in KINDS.values()]

    async def _mesh(self, _query: Query, _: str) -> Any:
        _, _, name = self._state.settings_key
        stored = await self._api.get(CONFIG_MAPS, name, self._namespace)
        text = ((stored or {}).get("data") or {}).get("mesh", "")
        try:
            return yaml.safe_load(text) or {}
        except yaml.YAMLError as error:
            raise _Refusal(500, f"the ConfigMap {name} cannot be read: {error}\n") from None

    async def _registryz(self, _query: Query, _: str) -> Any:
        services = self._state.latest.services
        return [_service(services[key]) for key in sorted(services)]

    async def _endpointz(self, _query: Query, _: str) -> Any:
        snapshot = self._state.latest
        shard = f"{syncing.CLUSTER_ID}/{syncing.CLUSTER_ID}"
        return {
            _host(namespace, name): {
                namespace: {
                    "Shards": {
                        shard: [
                            {
                                "Addresses": [endpoint.address],
                                "ServicePortName": port,
                                "EndpointPort": number,
                                "Labels": endpoint.pod.labels if endpoint.pod else {},
                                "ServiceAccount": endpoint.pod.service_account if endpoint.pod else "",
                                "WorkloadName": endpoint.pod.workload if endpoint.pod else "",
                                "Namespace": namespace,
                                "TLSMode": "istio" if endpoint.pod and endpoint.pod.meshed else "disabled",
                            }
                            for endpoint in found.endpoints
                            for port, number in sorted(endpoint.ports.items())
                        ]
                    },
                    "ServiceAccounts": {account: {} for account in found.accounts},
                }
            }
            for (namespace, name), found in sorted(snapshot.endpoints.items())
        }

    async def _list(self, _query: Query, _: str) -> Any:
        return sorted(name for name in self._pages if name != "list")

    async def _empty(self, _query: Query, _: str) -> Any:
        return []


def _clients(clients: list[dict[str, Any]]) -> dict[str, Any]:
    return {"totalClients": len(clients), "clients": clients}


def _client(connection: Connection) -> dict[str, Any]:
    return {
        "connectionId": f"{connection.name}-{connection.id}",
        "connectedAt": connection.connected_at.isoformat(timespec="milliseconds"),
        "address": connection.proxy.ip,
    }


def _details(connection: Connection) -> dict[str, Any]:
    proxy = connection.proxy
    return {
        "labels": dict(proxy.labels),
        "metadata": {"NAME": proxy.pod, "NAMESPACE": proxy.namespace, "SERVICE_ACCOUNT": proxy.service_account},
        "watches": {url: list(each.names) for url, each in connection.session.exchanges().items()},
    }


def _service(service: Service) -> dict[str, Any]:
    return {
        "Attributes": {
            "ServiceRegistry": syncing.CLUSTER_ID,
            "Name": service.name,
            "Namespace": service.namespace,
            "Labels": dict(service.labels),
            "LabelSelectors": dict(service.selector),
            "K8sAttributes": {"ExternalName": service.external_name},
        },
        "ports": [{"name": p.name, "port": p.port, "protocol": p.app_protocol or p.transport} for p in service.ports],
        "hostname": _host(service.namespace, service.name),
        "defaultAddress": service.cluster_ip or "0.0.0.0",
        "Resolution": 2 if service.headless else 0,
        "MeshExternal": bool(service.external_name),
        "ResourceVersion": service.origin.resource_version,
    }


def _host(namespace: str, name: str) -> str:
    return f"{name}.{namespace}.svc.cluster.local"


def _resource(text: str) -> tuple[str, str, str]:
    """Kind, name and namespace of `KIND/NAMESPACE/NAME`, or of what an older istioctl sends: `KIND/NAME/NAMESPACE`."""
    parts = text.split("/")
    kind = next((name for name in KINDS if name.lower() == parts[0].lower().replace("-", "")), "")
    if not kind or len(parts) != 3:
        raise _Refusal(400, f"resource={text!r} is not KIND/NAME/NAMESPACE with one of Istio's kinds\n")
    return kind, parts[1], parts[2]
