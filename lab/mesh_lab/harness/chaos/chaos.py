"""The fixture `chaos`: what a test does to its cluster, and the end of all of it."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from mesh_lab.client.api import Api
from mesh_lab.client.objects import Object
from mesh_lab.harness.chaos.bounds import BOUNDS, ChaosBounds, ChaosError, ChaosUnsupported, Refuse, raise_unsupported
from mesh_lab.harness.chaos.killing import (
    GATEWAY,
    ISTIOD,
    LostPod,
    Part,
    kill_pod,
    kill_sidecar,
    loss_of,
    name_of,
    pods_of,
    wait_back,
)
from mesh_lab.harness.chaos.log import ChaosLog
from mesh_lab.harness.chaos.network import NetworkFault
from mesh_lab.harness.traffic import EchoControl
from mesh_lab.networkfaults import EGRESS, Delay, Fault, FaultError, Loss, Partition, Port, parse, written

Pods = Object | Sequence[Object]
_Any = TypeVar("_Any")
DNS_PORTS = (Port(53, "UDP"), Port(53, "TCP"))


class Chaos:
    """Kills and faults. Each network fault is in force when the method returns, and ends with its `with` block.

    `seed` decides every choice of `any_of`, for each `test` by itself; `random` is its generator, for choices of the
    test's own. `log` tells what
    was done when. `not_shared` says why what
    every test of the cluster would feel must not be done (empty where it may); `refuse` is called with the reason where
    the cluster cannot do what is asked for.

    Pods are objects of the API, as `mesh.pod` and `mesh.pods` give them.
    """

    def __init__(
        self,
        api: Api,
        *,
        seed: str,
        test: str = "",
        bounds: ChaosBounds = BOUNDS,
        not_shared: str = "",
        refuse: Refuse = raise_unsupported,
    ) -> None:
        self.seed = seed
        self.random = random.Random(f"{seed}/{test}")
        self.log = ChaosLog()
        self._api = api
        self._bounds = bounds
        self._not_shared = not_shared
        self._refuse = refuse
        self._kills = 0
        self._losses: list[LostPod] = []
        self._left = ExitStack()

    def close(self) -> None:
        """End the faults that are left, the last first, and wait until what was killed for all is back.

        Raises:
            ApiError, ClusterUnreachable, WaitTimeoutError: not all has ended; the rest has.
        """
        self._left.close()

    def __enter__(self) -> Chaos:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def any_of(self, choices: Sequence[_Any]) -> _Any:
        """One of these, by the seed: the same one of as many in each run with that seed.

        Raises:
            ChaosError: there are none.
        """
        if not choices:
            raise ChaosError("any_of has nothing to choose from")
        return self.random.choice(choices)

    # Ends

    def kill(self, pod: Object) -> None:
        """Delete a pod without grace; it is gone when this returns.

        Raises:
            ChaosError: the bound of kills is reached.
            ApiError, ClusterUnreachable, WaitTimeoutError: it is not gone.
        """
        self._count_kill()
        self._losses.append(loss_of(self._api, pod))
        kill_pod(self._api, pod)
        self.log.add(f"killed pod {name_of(pod)}")

    def wait_back(self) -> None:
        """Wait until other pods are ready in place of all that were killed so far.

        Raises:
            ApiError, ClusterUnreachable, WaitTimeoutError: they are not.
        """
        wait_back(self._api, self._losses)
        self._losses.clear()
        self.log.add("what was killed is back")

    def kill_sidecar(self, pod: Object) -> None:
        """Have the pod's Envoy exit at once, without draining; its container has been started again after this.

        Raises:
            ChaosError: the bound of kills is reached, or the pod has no sidecar.
            ApiError, ClusterUnreachable, WaitTimeoutError: it did not exit.
        """
        self._count_kill()
        kill_sidecar(self._api, pod)
        self.log.add(f"killed the sidecar of pod {name_of(pod)}")

    def kill_istiod(self) -> list[Object]:
        """Kill every pod of the control plane, and give them. The fixture's end waits until it is back.

        Raises:
            ChaosError: others would feel it, or there is none.
            ApiError, ClusterUnreachable, WaitTimeoutError: as `kill`.
        """
        return self._kill_part(ISTIOD)

    def kill_gateway(self) -> list[Object]:
        """Kill every pod of the ingress gateway, as `kill_istiod` does of the control plane."""
        return self._kill_part(GATEWAY)

    # The network

    def partition(
        self, pod: Object, from_: Pods = (), *, ports: Sequence[int] = (), seconds: float | None = None
    ) -> NetworkFault:
        """Drop every packet between a pod and these pods, or without any all pods and what it asks of the node.

        `ports` are TCP ports that packets are sent to (without any: all packets), `seconds` is when it ends by itself
        at the latest.

        Raises:
            ChaosError: an argument is wrong, or over the bounds.
            ChaosUnsupported: the cluster cannot; in a test it is skipped for that.
        """
        ends = self._until(seconds)
        return self._fault(pod, from_, Partition(until=ends, peers=_addresses(from_), ports=_tcp(ports)))

    def loss(
        self,
        pod: Object,
        ratio: float,
        to: Pods = (),
        *,
        ports: Sequence[int] = (),
        seconds: float | None = None,
    ) -> NetworkFault:
        """Drop this part (a ratio) of the packets that a pod sends to these pods; arguments and errors as `partition`.

        The kernel draws for each packet by itself, and takes no seed.
        """
        ends = self._until(seconds)
        fault = Loss(until=ends, ratio=ratio, peers=_addresses(to), ports=_tcp(ports), direction=EGRESS)
        return self._fault(pod, to, fault)

    def delay(
        self,
        pod: Object,
        by: float,
        to: Pods = (),
        *,
        jitter: float = 0.0,
        ports: Sequence[int] = (),
        seconds: float | None = None,
    ) -> NetworkFault:
        """Hold back what a pod sends to these pods `by` seconds, more or less the jitter; the rest as `partition`."""
        ends = self._until(seconds)
        fault = Delay(until=ends, seconds=by, jitter=jitter, peers=_addresses(to), ports=_tcp(ports), direction=EGRESS)
        return self._fault(pod, to, fault)

    def cut_dns(self, pod: Object, *, seconds: float | None = None) -> NetworkFault:
        """Drop what a pod asks DNS; raises as `partition`."""
        return self._fault(pod, (), Partition(until=self._until(seconds), ports=DNS_PORTS, direction=EGRESS))

    def cut_off_istiod(self, pod: Object, *, seconds: float | None = None) -> NetworkFault:
        """Cut a pod's proxy off from the control plane; raises as `partition`."""
        return self.partition(pod, from_=pods_of(self._api, ISTIOD), seconds=seconds)

    def slow_istiod(self, pod: Object, by: float, *, seconds: float | None = None) -> NetworkFault:
        """Hold back all that the control plane sends to one pod; raises as `partition`, and where it has many pods."""
        pods = pods_of(self._api, ISTIOD)
        if len(pods) > 1:
            raise ChaosError(f"istiod has {len(pods)} pods: use `delay` on each of them, or on one")
        return self.delay(pods[0], by, to=pod, seconds=seconds)

    # Endpoints

    @contextmanager
    def failing(self, echo: EchoControl, status: int = 503) -> Iterator[None]:
        """Have one pod of the lab's echo server answer every request with a status during a `with` block."""
        echo.answer_all_with(status)
        self.log.add(f"an echo server answers {status}")
        try:
            yield
        finally:
            echo.answer_normally()
            self.log.add("the echo server answers normally")

    def _fault(self, pod: Object, others: Pods, fault: Fault) -> NetworkFault:
        try:
            fault = parse(written(fault))
        except FaultError as error:
            raise ChaosError(f"no fault for pod {name_of(pod)}: {error}") from None
        try:
            made = NetworkFault(self._api, pod, fault, self._ended)
        except ChaosUnsupported as error:
            self.log.add(f"not done: {error}")
            self._refuse(str(error))
        self._left.callback(made.end)
        names = ", ".join(each["metadata"]["name"] for each in _several(others))
        self.log.add(f"pod {name_of(pod)}{f' ({names})' if names else ''}: {made.description}")
        return made

    def _ended(self, fault: NetworkFault) -> None:
        self.log.add(f"ended: {fault.description}; packets: {fault.packets}")

    def _until(self, seconds: float | None) -> datetime:
        seconds = self._bounds.seconds if seconds is None else seconds
        if not 0 < seconds <= self._bounds.seconds:
            raise ChaosError(
                f"a fault of {seconds:g} s is not within the bounds of the test, {self._bounds.seconds:g} s",
                hint="redefine the fixture mesh_chaos_bounds for more",
            )
        return datetime.now(UTC) + timedelta(seconds=seconds)

    def _count_kill(self) -> None:
        if self._kills >= self._bounds.kills:
            raise ChaosError(
                f"{self._kills} were killed, which is the bound of one test",
                hint="redefine the fixture mesh_chaos_bounds for more",
            )
        self._kills += 1

    def _kill_part(self, part: Part) -> list[Object]:
        if self._not_shared:
            raise ChaosError(f"{part.what} is not killed: {self._not_shared}")
        pods = pods_of(self._api, part)
        self._left.callback(wait_back, self._api, [loss_of(self._api, pod) for pod in pods])
        for pod in pods:
            self.kill(pod)
        return pods


def _several(pods: Pods) -> list[Object]:
    return [pods] if isinstance(pods, dict) else list(pods)


def _addresses(pods: Pods) -> tuple[str, ...]:
    found = []
    for pod in _several(pods):
        addresses = [each["ip"] for each in pod.get("status", {}).get("podIPs", ())]
        if not addresses:
            raise ChaosError(f"pod {name_of(pod)} has no address (yet): wait until it is ready, and get it anew")
        found += addresses
    return tuple(found)


def _tcp(ports: Sequence[int]) -> tuple[Port, ...]:
    return tuple(Port(port) for port in ports)
