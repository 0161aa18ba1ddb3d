"""One container of a pod: started, probed, restarted with back-off, stopped.

The messages of its states and events are the kubelet's, since people search for them.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import signal
import time
from collections.abc import Callable, Collection, Coroutine
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from mesh_lab.kube.node.client import Exit, Process, RuntimeFailure, RuntimeLost
from mesh_lab.kube.node.context import NodeContext
from mesh_lab.kube.node.env import ConfigProblem
from mesh_lab.kube.node.files import logreading, logs
from mesh_lab.kube.node.images import UnknownImageError
from mesh_lab.kube.node.pod import probes, starting
from mesh_lab.kube.node.pod.console import Console
from mesh_lab.kube.node.pod.facts import ContainerFacts, Running, Terminated, Waiting
from mesh_lab.kube.node.pod.hooks import Actions
from mesh_lab.kube.node.pod.place import PodPlace
from mesh_lab.kube.objects.containers import Container, Probe
from mesh_lab.kube.objects.pods import Pod
from mesh_lab.kube.recording import NORMAL, WARNING
from mesh_lab.kube.registry import Object

_CONFIG_ERROR = "CreateContainerConfigError"
_MESSAGE_LIMIT = 4096
_START_ERROR = 128  # what container runtimes report for a command that cannot be executed
_EXTRA_GRACE_SECONDS = 2.0  # seconds that a container gets to end when its hook has used up all of its grace


class ContainerRunner:
    """Runs one container until it will not start again. `changed` is called whenever its facts change."""

    def __init__(
        self,
        node: NodeContext,
        view: Callable[[], tuple[Pod, Object]],
        container: Container,
        facts: ContainerFacts,
        changed: Callable[[], None],
        field: str = "containers",
    ) -> None:
        self._node = node
        self._field_path = f"spec.{field}{{{container.name}}}"
        self._view = view
        self._container = container
        self._facts = facts
        self._changed = changed
        self._backoff = starting.RestartBackoff()
        self._stopping = asyncio.Event()
        self._wake = asyncio.Event()
        self._grace = 0.0
        self._redefined = False
        self._background: set[asyncio.Task[None]] = set()
        self._actions: Actions | None = None
        self.process: Process | None = None
        self.console: Console | None = None
        self.exec_spec: Callable[[list[str]], dict[str, Any]] | None = None
        """Makes a request to run a command in the running container."""
        self.log: logs.LogFile | None = None
        self.attempted = asyncio.Event()
        """Set once the first start is over, hook and all, or has failed: the next container may follow."""
        self.started = asyncio.Event()
        """Set once the container counts as started: its startup probe succeeded."""

    @property
    def name(self) -> str:
        """The container's name."""
        return self._container.name

    async def run(self, place: PodPlace, policy: str) -> None:
        """Start and restart it as `policy` (Always, OnFailure, Never) says; returns when it will not run again."""
        try:
            while not self._stopping.is_set():
                outcome = await self._run_once(place)
                self.attempted.set()
                if outcome is None:  # it could not be started yet; its ConfigMap or Secret may be created later
                    await self._pause(self._errors_pause())
                    continue
                ended, ran_for = outcome
                if self._stopping.is_set() or not (self._redefined or _wants_restart(policy, ended.code)):
                    return
                if not self._redefined:
                    await self._back_off(self._backoff.failed(ran_for))
                self._redefined = False
        finally:
            self.attempted.set()
            self.started.set()

    def nudge(self) -> None:
        """Try again if the container waits for this ConfigMap or Secret, which has changed."""
        if isinstance(self._facts.state, Waiting) and self._facts.state.reason == _CONFIG_ERROR:
            self._wake.set()

    def redefine(self, container: Container, grace: float) -> None:
        """Take over a changed image from the pod's spec."""
        self._container, self._redefined = container, True
        self._facts.image = container.image
        self._wake.set()
        if self.process is not None:
            self._record(NORMAL, "Killing", f"Container {self.name} definition changed, will be restarted")
            self._in_background(self._terminate(self.process, grace))

    async def stop(self, grace: float, reason: str = "", after: Collection[asyncio.Task[None]] = ()) -> None:
        """End it and do not start it again: hook, SIGTERM, and SIGKILL after `grace` seconds.

        The hook runs at once, the signals wait for `after` within these seconds.
        """
        first = not self._stopping.is_set()
        self._grace = grace
        self._stopping.set()
        self._wake.set()
        if self.process is None:
            return
        if not first:  # its hook must not run twice
            self.hasten(grace)
            await self.process.wait()
            return
        self._record(NORMAL, "Killing", reason or f"Stopping container {self.name}")
        await self._terminate(self.process, grace, after)

    def hasten(self, grace: float) -> None:
        """Shorten the grace period to `grace` seconds."""
        if (process := self.process) is not None:

            async def kill() -> None:
                await asyncio.wait({process.ended}, timeout=grace)
                await process.kill()

            self._in_background(kill())

    # One start.

    async def _run_once(self, place: PodPlace) -> tuple[Terminated, float] | None:
        """Start it and wait for its end; None when it could not be started yet."""
        pod, _ = self._view()
        try:
            image = self._node.images.find(self._container.image)
            spec = starting.specification(self._node, pod, self._container, image, place)
        except UnknownImageError as error:
            self._image_missing(str(error))
            return None
        except (ConfigProblem, ValueError) as error:
            self._wait(_CONFIG_ERROR, str(error))
            self._record(WARNING, "Failed", f"Error: {error}")
            return None
        # A status that is written while the runtime still works describes the start before.
        start = self._facts.next_start
        self._facts.image_id = image.identity
        began = datetime.now(UTC)
        clock = time.monotonic()
        try:
            self.log = starting.open_log(self._node, pod, self._container, start)
            console = await starting.start(self._node, self._container, place, spec, self.log)
        except RuntimeLost:
            raise
        except (RuntimeFailure, OSError) as error:
            text = starting.with_remedy(str(error), spec["argv"][0], image)
            self._record(WARNING, "Failed", f'Error: failed to start container "{self.name}": {text}')
            self._facts.restarts = start
            return self._ended(Terminated(_START_ERROR, "StartError", began, started=began, message=text)), 0.0
        self._facts.restarts = start
        self._facts.enter(Running(began))
        self.process, self.console = console.process, console
        try:
            ended = await self._supervise(place, console.process, spec, began)
        finally:
            self.process = self.console = None
            console.close()
            self.log.close()
        if ended.code and not ended.message:
            ended = replace(ended, message=logreading.tail(self.log.path))
        return self._ended(ended), time.monotonic() - clock

    async def _supervise(self, place: PodPlace, process: Process, spec: dict[str, Any], began: datetime) -> Terminated:
        """From the running process to its end."""
        facts = self._facts
        facts.container_id = f"mesh-lab://{secrets.token_hex(32)}"
        image = f'Container image "{self._container.image}" already present on machine'
        self._record(NORMAL, "Pulled", image)
        self._record(NORMAL, "Created", f"Created container: {self.name}")
        self._record(NORMAL, "Started", f"Started container {self.name}")
        command_spec = {key: value for key, value in spec.items() if key != "root"}
        self.exec_spec = lambda argv: {**command_spec, "argv": argv}
        actions = Actions(self._node.runtime, process, self._container, place.sandbox.address, self.exec_spec)
        self._actions = actions
        if self._stopping.is_set():
            self._in_background(self._terminate(process, self._grace))
        checking = asyncio.get_running_loop().create_task(self._check(actions, process))
        try:
            exit_ = await process.wait()
        finally:
            await end(checking)
        facts.ready = facts.started = False
        return self._terminated(exit_, began)

    def _terminated(self, exit_: Exit, began: datetime) -> Terminated:
        reason = "Completed" if exit_.code == 0 else "Error"
        message = ""
        with contextlib.suppress(OSError):
            words = starting.message_file(self._node, self._view()[0], self._container)
            message = words.read_bytes()[:_MESSAGE_LIMIT].decode(errors="replace")
        return Terminated(
            exit_.code,
            reason,
            datetime.now(UTC),
            started=began,
            signal=exit_.signal,
            message=message,
            container_id=self._facts.container_id,
        )

    def _ended(self, ended: Terminated) -> Terminated:
        facts = self._facts
        facts.enter(ended)
        facts.ready = facts.started = False
        self._changed()
        return ended

    # While it runs.

    async def _check(self, actions: Actions, process: Process) -> None:
        """Hook and probes of the running container."""
        container, facts = self._container, self._facts
        if container.lifecycle.post_start is not None:
            result = await actions.hook(container.lifecycle.post_start)
            if not result.ok:
                self._record(WARNING, "FailedPostStartHook", f"PostStartHook failed: {result.message}")
                self._in_background(self._terminate(process, 0))
                return
        self.attempted.set()
        reports = probes.Reports(lambda kind, ok: self._judge(process, kind, ok), self._probe_failed)
        if container.startup_probe is not None:
            self._changed()
            if not await self._probe(probes.Kind.STARTUP, container.startup_probe, actions, reports):
                return  # its end is on the way
        facts.started = True
        facts.ready = container.readiness_probe is None
        self.started.set()
        self._changed()
        async with asyncio.TaskGroup() as group:
            for kind, probe in (
                (probes.Kind.READINESS, container.readiness_probe),
                (probes.Kind.LIVENESS, container.liveness_probe),
            ):
                if probe is not None:
                    group.create_task(self._probe(kind, probe, actions, reports))

    async def _probe(self, kind: probes.Kind, probe: Probe, actions: Actions, reports: probes.Reports) -> bool:
        return await probes.run(kind, probe, lambda: actions.probe(probe), reports)

    def _judge(self, process: Process, kind: probes.Kind, ok: bool) -> None:
        if kind is probes.Kind.READINESS:
            self._facts.ready = ok
            self._changed()
            return
        if ok or self._stopping.is_set():
            return
        self._record(NORMAL, "Killing", f"Container {self.name} failed {kind.lower()} probe, will be restarted")
        probe = self._container.liveness_probe if kind is probes.Kind.LIVENESS else self._container.startup_probe
        own = probe.termination_grace_period_seconds if probe is not None else None
        grace = self._view()[0].spec.termination_grace_period_seconds if own is None else own
        self._in_background(self._terminate(process, grace))

    def _probe_failed(self, kind: probes.Kind, message: str) -> None:
        self._record(WARNING, "Unhealthy", f"{kind} probe failed: {message}")

    # Its end.

    async def _terminate(self, process: Process, grace: float, after: Collection[asyncio.Task[None]] = ()) -> None:
        """Hook, signal, and after the grace period the signal that cannot be ignored. Returns when it has ended."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + grace
        hook = self._container.lifecycle.pre_stop
        if hook is not None and self._actions is not None and grace > 0 and not process.ended.done():
            try:
                async with asyncio.timeout(grace):
                    result = await self._actions.hook(hook)
                if not result.ok and not process.ended.done():
                    self._record(WARNING, "FailedPreStopHook", f"PreStopHook failed: {result.message}")
            except TimeoutError:
                self._record(WARNING, "FailedPreStopHook", f"PreStopHook did not end within {grace:g}s")
            deadline = max(deadline, loop.time() + _EXTRA_GRACE_SECONDS)
        if after and grace > 0:
            await asyncio.wait(after, timeout=max(deadline - loop.time(), 0.0))
            deadline = max(deadline, loop.time() + _EXTRA_GRACE_SECONDS)
        with contextlib.suppress(RuntimeFailure):
            if grace > 0:
                await process.kill(self._stop_signal())
                await asyncio.wait({process.ended}, timeout=deadline - loop.time())
            await process.kill()
        await process.wait()

    def _stop_signal(self) -> int:
        name = self._container.lifecycle.stop_signal or "SIGTERM"
        return int(getattr(signal, name, signal.SIGTERM))

    # Waiting.

    async def _back_off(self, wait: float) -> None:
        if wait == 0:
            return
        pod, _ = self._view()
        where = f"{pod.metadata.name}_{pod.metadata.namespace}({pod.metadata.uid})"
        text = f"back-off {starting.go_duration(wait)} restarting failed container={self.name} pod={where}"
        self._wait("CrashLoopBackOff", text)
        self._record(
            WARNING, "BackOff", f"Back-off restarting failed container {self.name} in pod {where}{self._words()}"
        )
        self._wake.clear()
        loop = asyncio.get_running_loop()
        until = loop.time() + wait
        while not (self._stopping.is_set() or self._redefined) and (left := until - loop.time()) > 0:
            await self._pause(left)

    def _words(self) -> str:
        """Return the last log line of a failed container, as the end of an event's message."""
        last = self._facts.last
        words = logreading.last_line(last.message) if last is not None and last.code else ""
        return f"; it ended with exit code {last.code}: {words}" if last is not None and words else ""

    def _image_missing(self, why: str) -> None:
        reference = self._container.image
        if isinstance(self._facts.state, Waiting) and "Image" in self._facts.state.reason:
            self._wait("ImagePullBackOff", f'Back-off pulling image "{reference}": ErrImagePull: {why}')
            self._record(NORMAL, "BackOff", f'Back-off pulling image "{reference}"')
            self._record(WARNING, "Failed", "Error: ImagePullBackOff")
            return
        self._wait("ErrImagePull", why)
        self._record(WARNING, "Failed", f'Failed to pull image "{reference}": {why}')
        self._record(WARNING, "Failed", "Error: ErrImagePull")

    def _errors_pause(self) -> float:
        return self._backoff.failed() or starting.FIRST_WAIT_SECONDS

    async def _pause(self, seconds: float) -> None:
        """Wait for the time, or until something changes that the container may wait for."""
        self._wake.clear()
        if self._stopping.is_set():
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._wake.wait()

    def _wait(self, reason: str, message: str) -> None:
        self._facts.enter(Waiting(reason, message))
        self._changed()

    def _record(self, kind: str, reason: str, message: str) -> None:
        self._node.recorder.record(self._view()[1], kind, reason, message, field_path=self._field_path)

    def _in_background(self, work: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine that ends soon after the process does."""

        async def run() -> None:
            with contextlib.suppress(RuntimeFailure):  # then there is no process either
                await work

        task = asyncio.get_running_loop().create_task(run())
        self._background.add(task)
        task.add_done_callback(self._background.discard)


def _wants_restart(policy: str, code: int) -> bool:
    return policy == "Always" or (policy == "OnFailure" and code != 0)


async def end(task: asyncio.Task[Any]) -> None:
    """Cancel `task`, wait until it has ended, and raise what it failed with.

    A cancellation of the caller meanwhile is the caller's own and is raised: to await the task and suppress
    CancelledError would swallow it, and the caller would go on until its next pause.
    """
    task.cancel()
    await asyncio.wait({task})
    if not task.cancelled() and (failure := task.exception()) is not None:
        raise failure
