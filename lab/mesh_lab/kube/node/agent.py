"""The node agent (kubelet): runs pods, serves their logs, executes commands in them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import shutil
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path

from mesh_lab.kube.config import KubeConfig
from mesh_lab.kube.errors import ApiError, bad_request, internal, not_found
from mesh_lab.kube.isolation import Isolation
from mesh_lab.kube.node import registration, scheduling, usage
from mesh_lab.kube.node.client import Runtime, RuntimeFailure, RuntimeLost
from mesh_lab.kube.node.context import NodeContext, log_root
from mesh_lab.kube.node.files import logreading
from mesh_lab.kube.node.files.volumes import Tokens
from mesh_lab.kube.node.images import Images
from mesh_lab.kube.node.machines import Machines
from mesh_lab.kube.node.pod import sessions
from mesh_lab.kube.node.pod.checks import reason
from mesh_lab.kube.node.pod.console import Attachment
from mesh_lab.kube.node.pod.container import ContainerRunner
from mesh_lab.kube.node.pod.facts import Waiting
from mesh_lab.kube.node.pod.worker import PodWorker
from mesh_lab.kube.node.sandbox import AddressPool, Sandboxes
from mesh_lab.kube.node.scheduling import Room
from mesh_lab.kube.recording import Recorder
from mesh_lab.kube.reflector import BOOKMARK, DELETED, follow
from mesh_lab.kube.registry import Object, Registry
from mesh_lab.kube.resources import CONFIGMAPS, NODES, PODS, SECRETS, SERVICEACCOUNTS, Resource
from mesh_lab.kube.streams import ContainerUsage, LogOptions, PodUsage

log = logging.getLogger(__name__)

_TOKENS_EVERY_SECONDS = 10.0
_RUNTIME_RETRY_SECONDS = 1.0
_CONNECT_LIMIT_SECONDS = 10.0
_SCHEDULER = "default-scheduler"


class NodeAgent:
    """The lab's only node; implements `mesh_lab.kube.streams.NodeStreams`."""

    def __init__(self, registry: Registry, config: KubeConfig, tokens: Tokens, isolation: Isolation) -> None:
        self._registry = registry = registry.under("kubelet")
        self._config = config
        self._tokens = tokens
        self._isolation = isolation
        self._images = Images(config.images)
        self._recorder = Recorder(registry, "kubelet")
        self._scheduling = Recorder(registry, _SCHEDULER)
        self._workers: dict[str, PodWorker] = {}
        self._node: NodeContext | None = None
        self.machines = Machines(config, self._context)

    async def run(self) -> None:
        """Run the node until cancelled.

        Raises:
            RuntimeFailure, OSError: the runtime cannot be started, or the node's network cannot be set up.
        """
        await registration.register(self._registry, self._config, self._images)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._recorder.run())
            group.create_task(self._scheduling.run())
            group.create_task(registration.heartbeat(self._registry, self._config))
            group.create_task(self._serve())

    async def _serve(self) -> None:
        """Run pods; when the runtime dies, start it and all pods again, as a node does after a reboot."""
        while True:
            runtime = Runtime(self._config.state / "node", self._config.read_only_dirs)
            await runtime.start()
            try:
                await self._serve_with(runtime)
            except* RuntimeLost:
                log.error("the container runtime died, and all containers with it: they are started again")  # noqa: TRY400
            await asyncio.sleep(_RUNTIME_RETRY_SECONDS)

    async def _serve_with(self, runtime: Runtime) -> None:
        config = self._config
        reserved = frozenset(config.node_addresses)
        pools = [AddressPool(cidr, reserved) for cidr in config.pod_cidrs]
        sandboxes = Sandboxes(runtime, pools, config.node_addresses, self._isolation)
        node = NodeContext(
            config=config,
            registry=self._registry,
            tokens=self._tokens,
            recorder=self._recorder,
            scheduling=self._scheduling,
            images=self._images,
            runtime=runtime,
            sandboxes=sandboxes,
            allocatable=registration.allocatable(registration.capacity(config.state)),
            room=Room(self._retry_pending),
        )
        try:
            sandboxes.prepare_node()
            self._node = node
            async with asyncio.TaskGroup() as group:
                group.create_task(_until_lost(runtime))
                group.create_task(self._follow_pods(node, group))
                for resource in (CONFIGMAPS, SECRETS, SERVICEACCOUNTS, NODES):
                    group.create_task(self._follow_sources(resource))
                group.create_task(self._renew_tokens())
        finally:
            self._node = None
            self._workers.clear()
            sandboxes.close()
            runtime.close()

    async def _follow_pods(self, node: NodeContext, group: asyncio.TaskGroup) -> None:
        found: dict[str, Object] | None = {}  # the pods of the initial list, until it is complete
        async for event in follow(self._registry, PODS):
            if event.type == BOOKMARK:
                if found is not None:
                    for obj in scheduling.in_order(found.values()):
                        self._take_on(node, group, obj)
                    found = None
                    self._delete_logs_of_gone_pods(node)
                continue
            uid = event.object["metadata"]["uid"]
            if event.type == DELETED:
                if found is not None:
                    found.pop(uid, None)
                elif (worker := self._workers.get(uid)) is not None:
                    worker.remove()
            elif found is not None:
                found[uid] = event.object
            else:
                self._take_on(node, group, event.object)

    def _take_on(self, node: NodeContext, group: asyncio.TaskGroup, obj: Object) -> None:
        """Pass the pod's present state to its worker; start a worker if it has none."""
        uid = obj["metadata"]["uid"]
        worker = self._workers.get(uid)
        if worker is not None:
            worker.update(obj)
        elif self._is_ours(obj):
            worker = self._workers[uid] = PodWorker(node, obj)
            group.create_task(self._run_worker(uid, worker))

    def _is_ours(self, obj: Object) -> bool:
        metadata, spec = obj["metadata"], obj["spec"]
        if "deletionTimestamp" in metadata and not metadata.get("deletionGracePeriodSeconds"):
            return False  # this node is done with it; a finalizer keeps the object
        if not spec.get("nodeName"):
            return bool(spec.get("schedulerName", _SCHEDULER) == _SCHEDULER)
        return bool(spec["nodeName"] == self._config.node_name)

    async def _run_worker(self, uid: str, worker: PodWorker) -> None:
        metadata = worker.pod.metadata
        try:
            await worker.run()
        except* RuntimeLost:
            raise
        except* Exception:  # one pod's failure must not be every pod's
            log.exception("pod %s/%s is given up", metadata.namespace, metadata.name)
        finally:
            if self._workers.get(uid) is worker:
                del self._workers[uid]

    def _retry_pending(self) -> None:
        """Let pods that wait for free resources be scheduled again."""
        for worker in list(self._workers.values()):
            if not worker.pod.spec.node_name:
                worker.look_again()

    async def _follow_sources(self, resource: Resource) -> None:
        async for event in follow(self._registry, resource):
            if event.type == BOOKMARK:
                continue
            metadata = event.object["metadata"]
            for worker in list(self._workers.values()):
                if metadata.get("namespace") in (None, "", worker.pod.metadata.namespace):
                    worker.nudge(resource.plural, metadata["name"])

    async def _renew_tokens(self) -> None:
        while True:
            await asyncio.sleep(_TOKENS_EVERY_SECONDS)
            now = time.monotonic()
            for worker in list(self._workers.values()):
                if worker.renew_at <= now:
                    worker.refresh()

    def _delete_logs_of_gone_pods(self, node: NodeContext) -> None:
        """Delete the logs of pods that were deleted while the node was off."""
        kept = {node.log_directory(worker.pod).name for worker in self._workers.values()}
        with contextlib.suppress(FileNotFoundError):
            for directory in log_root(self._config).iterdir():
                if directory.name not in kept:
                    shutil.rmtree(directory, ignore_errors=True)

    # The API server's interface (NodeStreams).

    def trouble(self) -> str:
        """Return why no container can be started at present; empty when they can."""
        if self._node is None:
            return "the container runtime is not up"
        return registration.overdue(self._registry, self._config)

    def logs(self, namespace: str, pod: str, options: LogOptions) -> AsyncIterator[bytes]:
        """Return a log as chunks of lines; see `NodeStreams.logs`. Errors are raised here, not by the iteration."""
        worker = self._worker(namespace, pod)
        name = options.container
        path, runner = self._log_path(worker, name, previous=options.previous)
        live = runner.log if runner is not None and runner.log is not None and runner.log.path == path else None
        if not path.exists():
            raise bad_request(f'no log of container "{name}" in pod "{pod}" is kept')
        return logreading.read(path, options, live)

    def _log_path(self, worker: PodWorker, name: str, *, previous: bool) -> tuple[Path, ContainerRunner | None]:
        node, pod = self._context(), worker.pod
        facts = next(c for c in worker.facts.all() if c.name == name)
        number = facts.restarts
        if previous:
            if facts.last is None:
                raise bad_request(f'previous terminated container "{name}" in pod "{pod.metadata.name}" not found')
            if not isinstance(facts.state, Waiting):
                number -= 1
        elif isinstance(facts.state, Waiting) and facts.last is None:
            text = f'container "{name}" in pod "{pod.metadata.name}" is waiting to start: {facts.state.reason}'
            raise bad_request(text)
        return node.log_directory(pod) / name / f"{number}.log", worker.runners.get(name)

    def usage(self) -> list[PodUsage]:
        """Read what each pod uses; see `NodeStreams.usage`."""
        return [
            PodUsage(worker.pod.metadata.namespace, worker.pod.metadata.name, uid, _usage(worker))
            for uid, worker in self._workers.items()
        ]

    def check_running(self, namespace: str, pod: str, container: str = "") -> None:
        """Check that the pod, and the container if one is named, is running; see `NodeStreams.check_running`."""
        worker = self._worker(namespace, pod)
        if worker.sandbox is None:
            raise internal(f'pod not found ("{pod}_{namespace}"): it is not running')
        if container:
            _running(worker, container)

    async def exec(
        self, namespace: str, pod: str, container: str, command: list[str], *, stdin: bool, tty: bool
    ) -> sessions.Session:
        """Start a command in a container; see `NodeStreams.exec`."""
        runner = _running(self._worker(namespace, pod), container)
        if runner.process is None or runner.exec_spec is None:
            raise _not_running(container)
        if not command:
            raise bad_request("you must specify at least one command for the container")
        spec = runner.exec_spec(command)
        if tty:
            spec["env"] = {"TERM": "xterm", **spec["env"]}
        try:
            return await sessions.start(self._context().runtime, runner.process, spec, stdin=stdin, tty=tty)
        except RuntimeFailure as error:
            raise internal(f"failed to exec in container {container}: {error}") from error

    async def attach(self, namespace: str, pod: str, container: str, *, stdin: bool) -> Attachment:
        """Attach to the streams of a container; see `NodeStreams.attach`."""
        runner = _running(self._worker(namespace, pod), container)
        if runner.console is None:
            raise _not_running(container)
        return Attachment(runner.console, stdin=stdin)

    async def connect(self, namespace: str, pod: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect to a port inside the pod; see `NodeStreams.connect`."""
        worker = self._worker(namespace, pod)
        if worker.sandbox is None:
            raise bad_request(f'pod "{pod}" is not running')
        try:
            made = await self._context().runtime.open_socket(worker.sandbox.number, socket.AF_INET, socket.SOCK_STREAM)
        except RuntimeFailure as error:
            raise internal(f"no socket in pod {pod}: {error}") from error
        try:
            async with asyncio.timeout(_CONNECT_LIMIT_SECONDS):
                await asyncio.get_running_loop().sock_connect(made, ("127.0.0.1", port))
            return await asyncio.open_connection(sock=made)
        except OSError as error:
            made.close()
            raise internal(f"failed to connect to localhost:{port} inside pod {pod}: {reason(error)}") from error

    def _worker(self, namespace: str, pod: str) -> PodWorker:
        obj = self._registry.find(PODS, pod, namespace)
        if obj is None:
            raise not_found("pods", pod)
        worker = self._workers.get(obj["metadata"]["uid"])
        if worker is None:
            raise bad_request(f'pod "{pod}" does not run on this node yet')
        return worker

    def _context(self) -> NodeContext:
        if self._node is None:
            raise ApiError(503, "ServiceUnavailable", "the node is not up yet")
        return self._node


async def _until_lost(runtime: Runtime) -> None:
    await runtime.lost.wait()
    raise RuntimeLost("the runtime died")


def _usage(worker: PodWorker) -> dict[str, ContainerUsage]:
    processes = {name: runner.process for name, runner in worker.runners.items() if runner.process is not None}
    read = {name: usage.of_tree(process.pid) for name, process in processes.items()}
    return {name: found for name, found in read.items() if found is not None}


def _running(worker: PodWorker, container: str) -> ContainerRunner:
    runner = worker.runners.get(container)
    if runner is None or runner.process is None:
        raise _not_running(container)
    return runner


def _not_running(container: str) -> ApiError:
    """Return the kubelet's error, whose text ends with the colon."""
    return internal(f'container not found ("{container}"): it is not running')
