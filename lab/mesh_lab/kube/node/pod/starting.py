"""What it takes to start a container: the wait before, the request to the runtime, and where its output goes."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any

from mesh_lab.backoff import Backoff
from mesh_lab.kube import trust
from mesh_lab.kube.node.context import NodeContext
from mesh_lab.kube.node.env import environment
from mesh_lab.kube.node.files import logs
from mesh_lab.kube.node.images import Image
from mesh_lab.kube.node.pod import launch
from mesh_lab.kube.node.pod.console import Console
from mesh_lab.kube.node.pod.place import PodPlace
from mesh_lab.kube.node.pod.sessions import on_terminal
from mesh_lab.kube.objects.containers import Container
from mesh_lab.kube.objects.pods import Pod

FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 10.0, 300.0
_KEPT_STARTS = 2  # this one's log and the one before


class RestartBackoff:
    """How long a failed container waits for its next start: not at all, then 10 s, doubling up to 5 min.

    https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#restart-policy. The same rule, with its own
    memory, holds for an image that cannot be had.
    """

    def __init__(self) -> None:
        self._backoff = Backoff(FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS)
        self._wait = 0.0

    def failed(self, ran_for: float = 0.0) -> float:
        """Return how long the next start waits, after a run of `ran_for`; a run of twice the longest wait resets it."""
        if ran_for >= 2 * LONGEST_WAIT_SECONDS:
            self._backoff.reset()
            self._wait = 0.0
        wait, self._wait = self._wait, self._backoff.next()
        return wait


def go_duration(seconds: float) -> str:
    """Format a duration as Go prints it: `10s`, `1m20s`."""
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"


def specification(node: NodeContext, pod: Pod, container: Container, image: Image, place: PodPlace) -> dict[str, Any]:
    """Return the runtime's start request for a container.

    Raises:
        ConfigProblem, ValueError: something that the container refers to is missing, or does not fit.
    """
    around = node.surroundings(pod, place.sandbox.addresses)
    variables = environment(pod, container, image.env, around)
    argv = launch.command(container, image, variables)
    who = launch.identity(pod, container, image)
    env = launch.complete(variables, who, launch.hostname(pod))
    mounts = place.mounts(container, variables)
    mounts.append(_message_mount(message_file(node, pod, container), container))
    if node.config.internet is not None:
        env = {**trust.ENVIRONMENT, **env}
        mounts = launch.with_bundle(mounts, trust.mount(node.config.state))
    files = launch.etc_files(pod, place.sandbox.addresses, node.config)
    shm = str(node.pod_directory(pod) / "shm")
    return {
        **launch.process_spec(pod, container, image, argv, env),
        "root": launch.root_spec(container, image, mounts, shm, files),
    }


def with_remedy(failure: str, program: str, image: Image) -> str:
    """A failure to start a program; with what shows it, where it is on the host and containers do not see it."""
    if not failure.endswith("no such file or directory") or not Path(program).is_absolute():
        return failure
    if not Path(program).exists():
        return failure
    where = f'[images."{image.name}"] path in lab.toml'
    return f"{failure}; the host has it, but containers of this image do not see it: {where}"


def message_file(node: NodeContext, pod: Pod, container: Container) -> Path:
    """Return the path of the container's termination message."""
    return node.pod_directory(pod) / "messages" / container.name


def _message_mount(message: Path, container: Container) -> launch.Mount:
    message.parent.mkdir(parents=True, exist_ok=True)
    message.write_bytes(b"")
    message.chmod(0o666)
    return launch.Mount(str(message), container.termination_message_path)


def open_log(node: NodeContext, pod: Pod, container: Container, start: int) -> logs.LogFile:
    """Open the log of the container's start of that number; delete older ones."""
    directory = node.log_directory(pod) / container.name
    log = logs.LogFile(directory / f"{start}.log")
    logs.forget(directory, start - _KEPT_STARTS)
    return log


async def start(
    node: NodeContext, container: Container, place: PodPlace, spec: dict[str, Any], log: logs.LogFile
) -> Console:
    """Start the container with its output going to `log`, which is closed on failure.

    Raises:
        RuntimeFailure, OSError: it could not be started; nothing is left behind.
    """
    try:
        if container.tty:
            return await _on_terminal(node, container, place, spec, log)
        return await _on_pipes(node, container, place, spec, log)
    except BaseException:
        log.close()
        raise


async def _on_terminal(
    node: NodeContext, container: Container, place: PodPlace, spec: dict[str, Any], log: logs.LogFile
) -> Console:
    number, spec = place.sandbox.number, {**spec, "env": {"TERM": "xterm", **spec["env"]}}
    process, leader = await on_terminal(lambda stdio: node.runtime.start_container(number, spec, stdio))
    stdin = os.dup(leader) if container.stdin else None
    readers = (logs.StreamReader(leader, "stdout", log),)
    return Console(process, readers, stdin, tty=True, once=container.stdin_once)


async def _on_pipes(
    node: NodeContext, container: Container, place: PodPlace, spec: dict[str, Any], log: logs.LogFile
) -> Console:
    with contextlib.ExitStack() as theirs, contextlib.ExitStack() as ours:
        to_container: int | None = None
        if container.stdin:
            stdin, to_container = os.pipe()
            ours.callback(os.close, to_container)
        else:
            stdin = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        theirs.callback(os.close, stdin)
        readers = []
        ends = [stdin]
        for name in ("stdout", "stderr"):
            reading, writing = os.pipe()
            theirs.callback(os.close, writing)
            ends.append(writing)
            readers.append(logs.StreamReader(reading, name, log))
            ours.callback(readers[-1].finish)
        process = await node.runtime.start_container(place.sandbox.number, spec, ends)
        ours.pop_all()
    return Console(process, (readers[0], readers[1]), to_container, tty=False, once=container.stdin_once)
