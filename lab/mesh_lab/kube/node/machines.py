"""Virtual machines: programs on the node that are no pods, each in namespaces and at an address of its own.

Nothing of Kubernetes knows of them, as it knows nothing of machines outside of a real cluster. One lives for as long as
the caller that has started it stays connected: no object stands for it, so none is left behind.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import AsyncIterator, Callable
from ipaddress import AddressValueError, IPv4Address, IPv4Network

from mesh_lab.kube import trust
from mesh_lab.kube.config import KubeConfig
from mesh_lab.kube.errors import ApiError, bad_request, internal, not_found
from mesh_lab.kube.node.client import Process, RuntimeFailure
from mesh_lab.kube.node.context import NodeContext
from mesh_lab.kube.node.env import ConfigProblem
from mesh_lab.kube.node.images import Image, UnknownImageError
from mesh_lab.kube.node.pod import launch, sessions
from mesh_lab.kube.node.pod.sessions import Session
from mesh_lab.kube.node.runtime.wire import Message
from mesh_lab.kube.node.sandbox import AddressesExhaustedError, AddressPool, Sandbox
from mesh_lab.kube.objects.containers import Container
from mesh_lab.kube.objects.pods import Pod, read_pod
from mesh_lab.kube.registry.syntax.names import label_problem
from mesh_lab.kube.streams import ExecSession, MachineOrder

_NEVER = tuple(map(IPv4Network, ("0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/3")))
_CAPABILITIES = {"capabilities": {"add": ["NET_ADMIN"]}}
Key = tuple[str, str]


class Machine:
    """A running machine; implements `mesh_lab.kube.streams.ExecSession` for its first program. `kill` removes it."""

    def __init__(
        self, node: NodeContext, session: Session, place: Sandbox, pod: Pod, forget: Callable[[], None]
    ) -> None:
        self._node = node
        self._session = session
        self._place = place
        self._pod = pod
        self._forget = forget

    @property
    def address(self) -> str:
        """Its address."""
        return self._place.address

    @property
    def process(self) -> Process:
        """Its first process."""
        return self._session.process

    @property
    def pod(self) -> Pod:
        """It in the terms of a pod."""
        return self._pod

    def stdout(self) -> AsyncIterator[bytes]:
        """Yield what its programs write."""
        return self._session.stdout()

    def stderr(self) -> AsyncIterator[bytes]:
        """Yield the same for standard error."""
        return self._session.stderr()

    async def write(self, data: bytes) -> None:
        """Do nothing: it has no input."""

    async def close_stdin(self) -> None:
        """Do nothing: it has no input."""

    def resize(self, columns: int, rows: int) -> None:
        """Do nothing: it has no terminal."""

    async def wait(self) -> int:
        """Wait for the end of its first program and return the exit code."""
        return await self._session.wait()

    async def kill(self) -> None:
        """End all its programs, and remove it from the network."""
        self._forget()
        with contextlib.suppress(RuntimeFailure):  # then its programs died with the runtime
            await self._session.kill()
        with contextlib.suppress(OSError):  # then the node's network went with the runtime, too
            await self._node.sandboxes.remove(self._place)
        shutil.rmtree(self._node.pod_directory(self._pod), ignore_errors=True)


class Machines:
    """The node's machines; implements `mesh_lab.kube.streams.NodeMachines`."""

    def __init__(self, config: KubeConfig, context: Callable[[], NodeContext]) -> None:
        self._config = config
        self._context = context
        self._addresses = AddressPool(config.machine_cidr)
        self._held: dict[Key, str] = {}
        self._running: dict[Key, Machine] = {}

    def running(self) -> list[tuple[str, str, str]]:
        """Return namespace, name and address of each."""
        return [(*key, machine.address) for key, machine in sorted(self._running.items())]

    async def run(self, namespace: str, name: str, order: MachineOrder) -> Machine:
        """Start a machine; see `NodeMachines.run`."""
        node, key = self._context(), (namespace, name)
        if problem := label_problem(name):
            raise bad_request(f"{name!r} cannot be a machine's name: {problem}")
        if key in self._held:
            raise ApiError(409, "AlreadyExists", f"the machine {namespace}/{name} runs already")
        try:
            image = node.images.find(order.image)
        except UnknownImageError as error:
            raise bad_request(str(error)) from None
        self._held[key] = address = order.address or self._free()
        try:
            self._check(key, address)
            machine = await self._start(node, key, address, image, order)
        except BaseException:
            self._release(key)
            raise
        self._running[key] = machine
        return machine

    async def exec(self, namespace: str, name: str, command: list[str]) -> ExecSession:
        """Start a command in a machine; see `NodeMachines.exec`."""
        node, machine = self._context(), self._running.get((namespace, name))
        if machine is None:
            raise not_found("machines", name)
        container = machine.pod.spec.containers[0]
        image = node.images.find(container.image)
        spec = _spec(machine.pod, container, image, command, {})
        try:
            return await sessions.start(node.runtime, machine.process, spec, stdin=False, tty=False)
        except RuntimeFailure as error:
            raise bad_request(f"cannot run {command[0]!r} in the machine {namespace}/{name}: {error}") from error

    async def _start(self, node: NodeContext, key: Key, address: str, image: Image, order: MachineOrder) -> Machine:
        pod = _as_pod(key, order)
        place = await self._place(node, pod, address)
        try:
            spec = self._specification(node, pod, image, address, order)
            session = await sessions.on_pipes(
                lambda stdio: node.runtime.start_container(place.number, spec, stdio), stdin=False
            )
        except BaseException as error:
            await node.sandboxes.remove(place)
            if isinstance(error, RuntimeFailure | ConfigProblem):
                raise bad_request(f"the machine cannot be started: {error}") from error
            raise
        return Machine(node, session, place, pod, lambda: self._release(key))

    async def _place(self, node: NodeContext, pod: Pod, address: str) -> Sandbox:
        shm = node.pod_directory(pod) / "shm"
        shm.mkdir(parents=True, exist_ok=True)
        shm.chmod(0o1777)
        try:
            # No policy selects it, which is no pod: it is an address to them.
            uid, hostname = pod.metadata.uid, launch.hostname(pod)
            return await node.sandboxes.create(uid, hostname, {}, host_network=False, address=address)
        except (RuntimeFailure, OSError) as error:
            raise internal(f"the machine cannot be connected to the lab's network: {error}") from error

    def _specification(self, node: NodeContext, pod: Pod, image: Image, address: str, order: MachineOrder) -> Message:
        container = pod.spec.containers[0]
        argv = launch.command(container, image, {})
        mounts: list[launch.Mount] = []
        environment = {"MACHINE_NAME": pod.metadata.name, "MACHINE_ADDRESS": address, **order.env}
        if self._config.internet is not None:
            environment = {**trust.ENVIRONMENT, **environment}
            mounts = launch.with_bundle(mounts, trust.mount(self._config.state))
        files = {**launch.etc_files(pod, (address,), self._config), **order.files}
        shm = str(node.pod_directory(pod) / "shm")
        return {
            **_spec(pod, container, image, argv, environment),
            "root": launch.root_spec(container, image, mounts, shm, files),
        }

    def _free(self) -> str:
        """Return an address of the machines' own range that nobody has taken."""
        while True:
            try:
                address = self._addresses.acquire()
            except AddressesExhaustedError as error:
                raise ApiError(503, "ServiceUnavailable", str(error)) from error
            if address not in self._held.values():
                return address

    def _check(self, key: Key, address: str) -> None:
        """Check that an address can be a machine's.

        Raises:
            ApiError: 400, it cannot; the message says why.
        """
        try:
            parsed = IPv4Address(address)
        except AddressValueError:
            raise bad_request(f"{address!r} is not an IPv4 address") from None
        config = self._config
        others = (IPv4Network(config.pod_cidr), IPv4Network(config.service_cidr), *_NEVER)
        if taken := next((network for network in others if parsed in network), None):
            raise bad_request(
                f"{address} is of {taken}, which is not for machines; {config.machine_cidr} is, and so is any other"
            )
        site = next((site.name for site in config.internet or () if address in site.addresses), "")
        holder = next((other for other, held in self._held.items() if held == address and other != key), None)
        if site or holder:
            raise bad_request(f"{address} is already that of {site or '/'.join(holder or ())}")

    def _release(self, key: Key) -> None:
        self._running.pop(key, None)
        self._addresses.release(self._held.pop(key, ""))


def _as_pod(key: Key, order: MachineOrder) -> Pod:
    """A machine in the terms of a pod, from which all that is said to the runtime is made."""
    namespace, name = key
    container = {"name": name, "image": order.image, "args": order.command, "securityContext": _CAPABILITIES}
    metadata = {"namespace": namespace, "name": name, "uid": f"machine-{namespace}-{name}"}
    return read_pod({"metadata": metadata, "spec": {"containers": [container]}})


def _spec(pod: Pod, container: Container, image: Image, argv: list[str], environment: dict[str, str]) -> Message:
    who = launch.identity(pod, container, image)
    complete = launch.complete({**image.env, **environment}, who, launch.hostname(pod))
    return launch.process_spec(pod, container, image, argv, complete)
