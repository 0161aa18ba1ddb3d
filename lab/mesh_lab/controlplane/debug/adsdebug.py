"""What istioctl asks over ADS: the state-of-the-world variant, for the types `istio.io/debug...`.

Machines report their health here, too (`delivery/health.py`).

istioctl comes through a port forward, with TLS and a token of a service account of istiod's namespace. A node that
would have configuration for itself has to use delta ADS, as Envoy here does. Sources: pilot/pkg/xds/{statusgen,
debuggen}.go and istioctl/pkg/multixds of Istio 1.30.
"""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator, Mapping
from typing import Any
from urllib.parse import parse_qsl

import grpc
import grpc.aio
from envoy.config.core.v3.base_pb2 import ControlPlane
from envoy.service.discovery.v3.discovery_pb2 import DiscoveryRequest, DiscoveryResponse
from google.protobuf.any_pb2 import Any as AnyMessage

from mesh_lab.controlplane.debug import syncing
from mesh_lab.controlplane.debug.istiopages import IstioPages
from mesh_lab.controlplane.delivery.ads import Context
from mesh_lab.controlplane.delivery.health import HealthReports
from mesh_lab.controlplane.delivery.identity import Authenticator, Unauthenticated
from mesh_lab.controlplane.delivery.push import Pusher
from mesh_lab.controlplane.kube.client import ApiError, Unreachable
from mesh_lab.controlplane.xds.typeurls import HEALTH
from mesh_lab.istioversion import build_info

log = logging.getLogger(__name__)

METHOD = "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources"
DEBUG = "istio.io/debug"
SYNCZ = f"{DEBUG}/syncz"
CONFIG_DUMP = f"{DEBUG}/config_dump"


class DebugStreams:
    """The streams of those who look. `pod` is the name of istiod's own."""

    def __init__(
        self,
        pages: IstioPages,
        pusher: Pusher,
        authenticator: Authenticator,
        reports: HealthReports,
        namespace: str,
        pod: str,
    ) -> None:
        self._pages = pages
        self._pusher = pusher
        self._authenticator = authenticator
        self._reports = reports
        self._namespace = namespace
        self._identifier = json.dumps({"Component": "istiod", "ID": pod, "Info": build_info()})

    def handlers(self) -> Mapping[str, Any]:
        """What the gRPC server serves beside delta ADS."""
        handler = grpc.stream_stream_rpc_method_handler(
            self.stream,
            request_deserializer=DiscoveryRequest.FromString,
            response_serializer=DiscoveryResponse.SerializeToString,
        )
        return {METHOD: handler}

    async def stream(self, requests: AsyncIterator[DiscoveryRequest], context: Context) -> None:
        """Answer each request once; an ACK, which has the nonce of the last answer, gets none.

        istioctl sends a nonce of its own with its first request.
        """
        metadata = {str(key): str(value) for key, value in context.invocation_metadata() or ()}
        nonce = 0
        async for request in requests:
            if nonce and request.response_nonce == f"debug-{nonce}":
                continue
            try:
                caller = await self._authenticator.account(metadata.get("authorization", ""))
                if request.type_url == HEALTH:
                    await self._reports.take(caller, request.node, request.error_detail.message)
                    continue
                resources = await self._resources(request, caller.namespace, context)
            except Unauthenticated as error:
                await context.abort(grpc.StatusCode.UNAUTHENTICATED, str(error))
            except (ApiError, Unreachable) as error:
                await context.abort(grpc.StatusCode.UNAVAILABLE, f"the API server cannot be asked now: {error}")
            nonce += 1
            log.info("%s %s for %s/%s", request.type_url, ",".join(request.resource_names), *caller[:2])
            await context.write(
                DiscoveryResponse(
                    version_info=str(nonce),
                    nonce=f"debug-{nonce}",
                    type_url=request.type_url,
                    resources=resources,
                    control_plane=ControlPlane(identifier=self._identifier),
                )
            )

    async def _resources(self, request: DiscoveryRequest, namespace: str, context: Context) -> list[AnyMessage]:
        seen = "" if namespace == self._namespace else namespace
        names = list(request.resource_names)
        if request.type_url == SYNCZ:
            return syncing.client_configs(self._pusher.connections, seen)
        if request.type_url == CONFIG_DUMP:
            connection = await self._pages.find(names[0], seen) if len(names) == 1 else None
            return (await self._pages.dump()).config_dump(connection) if connection else []
        if request.type_url != DEBUG:
            words = f"{request.type_url} is not served by this method; delta ADS serves proxies, this only {DEBUG}"
            await context.abort(grpc.StatusCode.UNIMPLEMENTED, words)
        if len(names) != 1:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "exactly one debug request is required")
        page, _, query = names[0].partition("?")
        if not self._pages.open_to(page, namespace):
            words = f"{page} is for service accounts of {self._namespace}, not of {namespace}"
            await context.abort(grpc.StatusCode.PERMISSION_DENIED, words)
        answer = await self._pages.page(page, dict(parse_qsl(query, keep_blank_values=True)), seen)
        return [AnyMessage(type_url=DEBUG, value=answer.body)]
