"""How fast a change reaches many proxies: from the API's store to the last acknowledgement, over real TLS and gRPC.

    python -m tests.bench.bench_push

API server, control plane and proxies share this process and its core; the proxies acknowledge without doing anything.
Processor time is that of the whole process for one change: on a machine that does other things besides, only that says
something. Prints figures and judges none: machines differ.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import grpc
import grpc.aio
from envoy.config.core.v3.base_pb2 import Node
from envoy.service.discovery.v3.discovery_pb2 import DeltaDiscoveryRequest, DeltaDiscoveryResponse

from mesh_lab.controlplane.xds import Generator
from mesh_lab.controlplane.xds.typeurls import CDS, EDS, LDS
from tests.unit.controlplane.mesh import Mesh, endpoints, meshed, service

METHOD = "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources"
OPTIONS = (("grpc.ssl_target_name_override", "istiod.istio-system.svc"),)
CHANGES = 30


class Proxy:
    """Subscribes to clusters, listeners and endpoints, and acknowledges whatever comes."""

    async def run(self, mesh: Mesh, name: str, token: str, ip: str) -> None:
        """Until cancelled."""
        published = mesh.api.find("configmaps", "istio-ca-root-cert", "default")
        if published is None:
            raise RuntimeError("the root is not published")
        tls = grpc.ssl_channel_credentials(published["data"]["root-cert.pem"].encode())
        options = (*OPTIONS, ("grpc.use_local_subchannel_pool", 1))
        async with grpc.aio.secure_channel(f"127.0.0.1:{mesh.ports.xds}", tls, options) as channel:
            call = channel.stream_stream(
                METHOD,
                request_serializer=DeltaDiscoveryRequest.SerializeToString,
                response_deserializer=DeltaDiscoveryResponse.FromString,
            )(metadata=[("authorization", token)])
            node = Node(id=f"sidecar~{ip}~{name}.default~default.svc.cluster.local")
            for url in (CDS, LDS):
                await call.write(DeltaDiscoveryRequest(node=node, type_url=url))
            known: set[str] = set()
            async for response in call:
                await self._answer(call, response, known)

    async def _answer(
        self,
        call: grpc.aio.StreamStreamCall[DeltaDiscoveryRequest, DeltaDiscoveryResponse],
        response: DeltaDiscoveryResponse,
        known: set[str],
    ) -> None:
        url = response.type_url
        await call.write(DeltaDiscoveryRequest(type_url=url, response_nonce=response.nonce))
        clusters = {resource.name for resource in response.resources} if url == CDS else set()
        if clusters - known:
            more = sorted(clusters - known)
            known |= clusters
            await call.write(DeltaDiscoveryRequest(type_url=EDS, resource_names_subscribe=more))


@asynccontextmanager
async def connected(mesh: Mesh, number: int) -> AsyncIterator[None]:
    """So many proxies."""
    async with AsyncExitStack() as stack:
        for index in range(number):
            name, ip = f"p{index}", f"10.1.{index // 250}.{index % 250 + 1}"
            token = await mesh.add_pod(name, ip=ip)
            task = asyncio.create_task(Proxy().run(mesh, name, token, ip))
            stack.push_async_callback(_ended, task)
        yield


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait({task})


class Cost(NamedTuple):
    """Milliseconds from a change in the store until the last proxy has acknowledged it, and of processor time."""

    wall: float
    processor: float


async def measure(proxies: int, services: int) -> list[Cost]:
    """What each of some changes of an endpoint costs."""
    with tempfile.TemporaryDirectory() as directory:
        async with meshed(Path(directory), translate=Generator().generate) as mesh:
            for index in range(services):
                await mesh.api.put("services", service(f"s{index}"))
                await mesh.api.put("endpointslices", endpoints(f"s{index}", [8000]))
            async with connected(mesh, proxies):
                await _changed(mesh, 8000)
                return [await _changed(mesh, 8001 + number) for number in range(CHANGES)]


async def _changed(mesh: Mesh, port: int) -> Cost:
    started, used = time.perf_counter(), time.process_time()
    await mesh.api.put("endpointslices", endpoints("s0", [port]))
    answer = await mesh.live("EndpointSlice", "s0", wait=60)
    if not answer["live"]:
        raise RuntimeError(f"not live within a minute: {answer}")
    return Cost((time.perf_counter() - started) * 1000, (time.process_time() - used) * 1000)


async def main() -> None:
    """All sizes, a line each."""
    for proxies, services in ((8, 10), (8, 100), (50, 10), (50, 100), (200, 100)):
        costs = await measure(proxies, services)
        figures = sorted(cost.wall for cost in costs)
        line = f"{proxies:4} proxies, {services:4} services: p50 {figures[len(figures) // 2]:6.1f} ms"
        line += f", p90 {figures[len(figures) * 9 // 10]:6.1f} ms, max {figures[-1]:6.1f} ms"
        sys.stdout.write(f"{line}; of a processor {statistics.median(cost.processor for cost in costs):6.1f} ms\n")


if __name__ == "__main__":
    asyncio.run(main())
