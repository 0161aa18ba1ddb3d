"""A node in namespaces of its own, for tests: run as a program in there, and driven over a socket.

The test process asks with one JSON document a line and gets one back; bytes travel as base64.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import mesh_lab
from mesh_lab.kube import pki
from mesh_lab.kube.config import ImageEntry, KubeConfig
from mesh_lab.kube.errors import ApiError, forbidden
from mesh_lab.kube.isolation import IsolationError
from mesh_lab.kube.node.agent import NodeAgent
from mesh_lab.kube.node.client import Runtime, RuntimeFailure
from mesh_lab.kube.node.images import Image
from mesh_lab.kube.node.machines import Machine
from mesh_lab.kube.node.pod import launch
from mesh_lab.kube.objects.pods import read_pod
from mesh_lab.kube.orphans import Reaper
from mesh_lab.kube.registry import DELETED, AdmissionRequest, DeleteOptions, Object, Open, Operation, Registry
from mesh_lab.kube.registry.kinds import RESOURCES
from mesh_lab.kube.registry.tokens import TokenIssuer
from mesh_lab.kube.resources import CONFIGMAPS, PODS, SERVICEACCOUNTS
from mesh_lab.kube.store import Store
from mesh_lab.kube.streams import ExecSession, LogOptions, MachineOrder
from tests.unit.kube.isolation import NoIsolation
from tests.unit.kube.node.pods import container, pod_object

KINDS = {resource.kind: resource for resource in RESOURCES}


class Refusing(Open):
    """A webhook that refuses what only the node asks for, for a while."""

    def __init__(self, times: int) -> None:
        self.left = times

    async def validate(self, request: AdmissionRequest) -> bool:
        ends = request.operation == Operation.DELETE and "deletionTimestamp" in (request.old or {})["metadata"]
        if self.left and (ends or request.subresource == "binding"):
            self.left -= 1
            raise forbidden("admission webhook denied the request: not now")
        return False


class Gate(NoIsolation):
    """A network's policies that note who is admitted, and refuse for a while."""

    def __init__(self) -> None:
        self.notes: list[list[str]] = []
        self.refusals = 0

    async def admit(self, uid: str, addresses: tuple[str, ...]) -> None:
        (address,) = addresses
        # What the pod has so far: a route to it, or nothing yet.
        self.notes.append(["admit", uid, address, "routed" if _is_routed(address) else "not routed"])
        if self.refusals:
            self.refusals -= 1
            raise IsolationError("not now")

    def release(self, uid: str) -> None:
        self.notes.append(["release", uid])


def _is_routed(address: str) -> bool:
    done = subprocess.run(["ip", "route", "show", address], capture_output=True, text=True, check=True)
    return bool(done.stdout.strip())


def own_program(state: Path) -> ImageEntry:
    """An image with a folder of its own below the state, in which a directory is hidden."""
    folder, hidden = state / "program", state / "program" / "hidden"
    hidden.mkdir(parents=True)
    (hidden / "key").write_text("secret")
    (folder / "run.sh").write_text("pwd; ls; ls hidden; (echo x > here) 2>/dev/null || echo refused; ls ..\n")
    command = ("sh", "run.sh")
    return ImageEntry(command=command, path=str(folder), shown=(str(folder),), hidden=(str(hidden),))


class IsolatedNode:
    """Registry and agent without API server and controllers; what those would make, `begin` makes."""

    def __init__(self, state: Path) -> None:
        program = own_program(state)
        self.config = KubeConfig(
            name="testlab",
            state_dir=str(state),
            api_fd=0,
            control_fd=0,
            lifeline_fd=0,
            api_port=0,
            rootless=os.getuid() != 0,
            images={"own/program": program},
            read_only_dirs=tuple({sys.prefix, sys.base_prefix, *(p for p in sys.path if Path(p).is_dir())}),
        )
        self.store = Store.open(state / "journal.db")
        self.registry = Registry(self.store)
        self.keys = pki.ensure(state / "pki", ("10.96.0.1",))
        self.gate = Gate()
        self.agent: NodeAgent
        self._running: asyncio.Task[None] | None = None
        self.machines: dict[str, Machine] = {}

    async def begin(self) -> None:
        await self.registry.bootstrap()
        await self.registry.create(SERVICEACCOUNTS, {"metadata": {"name": "default", "namespace": "default"}})
        authority = {"metadata": {"name": "kube-root-ca.crt", "namespace": "default"}, "data": {"ca.crt": "AUTHORITY"}}
        await self.registry.create(CONFIGMAPS, authority)
        self.start_agent()

    def start_agent(self) -> None:
        self.agent = NodeAgent(self.registry, self.config, TokenIssuer(self.keys.signing_key, self.registry), self.gate)
        self._running = asyncio.create_task(self.agent.run())
        self._running.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled():
            task.print_stack()
            os._exit(1)  # the test sees the end of the connection, and the reason on stderr

    async def stop_agent(self) -> None:
        assert self._running is not None
        self._running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._running

    async def restart_agent(self) -> None:
        await self.stop_agent()
        self.start_agent()

    async def end(self) -> None:
        await self.stop_agent()
        await self.store.close()

    async def kill_runtime(self) -> None:
        os.kill(_runtime_pid(), signal.SIGKILL)

    async def close_gate(self, times: int) -> None:
        """Let the network's policies refuse the next pods."""
        self.gate.refusals = times

    async def admissions(self, uid: str) -> list[list[str]]:
        """What the network's policies were told of a pod."""
        return [note for note in self.gate.notes if note[1] == uid]

    async def trouble(self) -> str:
        return self.agent.trouble()

    async def create(self, obj: Object) -> Object:
        return await self.registry.create(KINDS[obj["kind"]], obj)

    async def change(self, kind: str, name: str, fields: dict[str, Any]) -> Object | None:
        namespace = "default" if KINDS[kind].namespaced else ""

        def merge(old: Any, new: Any) -> Any:
            return {**old, **{k: merge(old.get(k), v) for k, v in new.items()}} if isinstance(old, dict) else new

        return await self.registry.modify(KINDS[kind], name, namespace, lambda old: merge(old, fields))

    async def get(self, kind: str, name: str) -> Object | None:
        return self.registry.find(KINDS[kind], name, "default" if KINDS[kind].namespaced else "")

    async def events(self, name: str) -> list[Object]:
        return self.registry.list(KINDS["Event"], "default", fields=f"involvedObject.name={name}")

    async def changed(self, name: str, version: str) -> Object:
        """The pod, once it is another version than `version`."""
        with self.registry.watch(PODS, "default") as watch:
            async for event in watch:
                metadata = event.object["metadata"]
                if metadata.get("name") == name and metadata["resourceVersion"] != version:
                    return event.object
        raise AssertionError

    async def versions(self, name: str, since: str) -> list[Object]:
        """All that a watcher has seen of the pod, from the version after `since` to the present one."""
        last = self.registry.get(PODS, name, "default")["metadata"]["resourceVersion"]
        seen: list[Object] = []
        with self.registry.watch(PODS, "default", since=int(since)) as watch:
            while not seen or seen[-1]["metadata"]["resourceVersion"] != last:
                event = await anext(watch)
                if event.object["metadata"].get("name") == name:
                    seen.append(event.object)
        return seen

    async def delete(self, name: str, grace: int | None) -> Object:
        """Delete the pod and wait until it is gone; its last state."""
        with self.registry.watch(PODS, "default", since=self.registry.revision) as watch:
            await self.registry.delete(PODS, name, "default", options=DeleteOptions(grace_period=grace))
            async for event in watch:
                if event.type == DELETED and event.object["metadata"]["name"] == name:
                    return event.object
        raise AssertionError

    async def volumes(self, name: str) -> list[str]:
        """The pod's volumes as they are on the node."""
        uid = self.registry.get(PODS, name, "default")["metadata"]["uid"]
        (directory,) = (self.config.state / "node").glob(f"**/pods/{uid}/volumes")
        return sorted(volume.name for volume in directory.iterdir())

    async def refuse(self, times: int) -> None:
        """Let a webhook refuse the next bindings of pods and the ends of deleted ones, so many in all."""
        self.registry.admission = Refusing(times)

    async def begin_to_delete(self, name: str, grace: int) -> None:
        await self.registry.delete(PODS, name, "default", options=DeleteOptions(grace_period=grace))

    async def logs(self, name: str, options: dict[str, Any]) -> str:
        chunks = self.agent.logs("default", name, LogOptions(**{"container": "main", **options}))
        return b"".join([chunk async for chunk in chunks]).decode()

    async def exec(self, name: str, command: list[str], stdin: str | None, size: list[int] | None) -> list[Any]:
        session = await self.agent.exec("default", name, "main", command, stdin=stdin is not None, tty=size is not None)
        return await self._converse(session, stdin, size)

    async def attach(self, name: str, stdin: str | None, size: list[int] | None) -> list[Any]:
        session = await self.agent.attach("default", name, "main", stdin=stdin is not None)
        return await self._converse(session, stdin, size)

    async def leave(self, name: str, command: list[str], until: str) -> None:
        """Start a command and go away once `until` has been read."""
        session = await self.agent.exec("default", name, "main", command, stdin=False, tty=False)
        text = ""
        async for chunk in session.stdout():
            text += chunk.decode()
            if until in text:
                break
        await session.kill()

    async def look_in(self, name: str, stdin: str, until: str) -> str:
        """Attach, write, and leave once `until` has been read; all that was read."""
        session = await self.agent.attach("default", name, "main", stdin=True)
        await session.write(stdin.encode())
        text = ""
        async for chunk in session.stdout():
            text += chunk.decode()
            if until in text:
                break
        await session.kill()
        return text

    async def _converse(self, session: ExecSession, stdin: str | None, size: list[int] | None) -> list[Any]:
        async def collect(stream: Any) -> str:
            return b"".join([chunk async for chunk in stream]).decode()

        if size is not None:
            session.resize(*size)
        async with asyncio.TaskGroup() as group:
            out, err = group.create_task(collect(session.stdout())), group.create_task(collect(session.stderr()))
            if stdin is not None:
                await session.write(stdin.encode())
                await session.close_stdin()
        code = await session.wait()
        await session.kill()
        return [code, out.result(), err.result()]

    async def start_machine(self, name: str, order: dict[str, Any]) -> str:
        """Start a virtual machine; its address."""
        self.machines[name] = await self.agent.machines.run("default", name, MachineOrder(**order))
        return self.machines[name].address

    async def finish_machine(self, name: str) -> list[Any]:
        """Wait until its program ends, and remove it; exit code and output."""
        return await self._converse(self.machines.pop(name), None, None)

    async def remove_machine(self, name: str) -> None:
        await self.machines.pop(name).kill()

    async def running_machines(self) -> list[tuple[str, str, str]]:
        return self.agent.machines.running()

    async def in_machine(self, name: str, command: list[str]) -> list[Any]:
        return await self._converse(await self.agent.machines.exec("default", name, command), None, None)

    async def connect(self, name: str, port: int, data: str) -> str:
        reader, writer = await self.agent.connect("default", name, port)
        writer.write(base64.b64decode(data))
        answer = await reader.read()
        writer.close()
        return base64.b64encode(answer).decode()

    async def start_stuck(self, seconds: float) -> list[str]:
        """Have a runtime start a container that hangs before its command, and one that does not; what came of each."""
        runtime = Runtime(self.config.state / "other", (), start_limit=seconds)
        await runtime.start()
        pod = read_pod(pod_object("direct", container("main")))
        image = Image("direct", ("true",))
        (runtime.directory / "shm").mkdir()
        env = {"PATH": "/usr/bin:/bin"}
        spec = launch.process_spec(pod, pod.spec.containers[0], image, ["true"], env)
        spec["root"] = launch.root_spec(pod.spec.containers[0], image, [], str(runtime.directory / "shm"), {})
        sandbox = await runtime.create_sandbox("direct", {})
        ours, theirs = socket.socketpair()
        null = os.open(os.devnull, os.O_RDWR)
        with ours, theirs:
            theirs.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                while True:
                    theirs.send(bytes(4096))
            theirs.setblocking(True)  # full: who sends its terminal over it waits for ever
            stuck = asyncio.create_task(runtime.start_container(sandbox, spec, [theirs.fileno()]))
            other = await runtime.start_container(sandbox, spec, [null] * 3)
            ended = await other.wait()
            before = "first" if stuck.done() else "second"
            try:
                await stuck
            except RuntimeFailure as error:
                return [before, str(ended.code), str(error)]
            finally:
                os.close(null)
                runtime.close()
        raise AssertionError

    async def shell(self, command: str) -> str:
        """A command in the node's own namespaces."""
        process = await asyncio.create_subprocess_shell(command, stdout=asyncio.subprocess.PIPE)
        out, _ = await process.communicate()
        return out.decode()

    async def ended(self, command: str) -> int:
        """How a command in the node's own namespaces ended."""
        return await (await asyncio.create_subprocess_shell(command)).wait()


def _runtime_pid() -> int:
    for process in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if process.name.isdigit() and b"mesh_lab.kube.node.runtime" in (process / "cmdline").read_bytes().split(
                b"\0"
            ):
                return int(process.name)
    raise AssertionError("no runtime")


async def serve(link: socket.socket, state: Path) -> None:
    """Answer requests `{"do": NAME, ...}` until the test process closes its end."""
    Reaper().start()  # this is pid 1, as the kube process is
    node = IsolatedNode(state)
    await node.begin()
    reader, writer = await asyncio.open_connection(sock=link)
    while line := await reader.readline():
        request = json.loads(line)
        work: Callable[..., Awaitable[Any]] = getattr(node, request.pop("do"))
        try:
            answer = {"is": await work(**request)}
        except ApiError as error:
            answer = {"error": [error.code, error.message]}
        writer.write(json.dumps(answer).encode() + b"\n")


if __name__ == "__main__":
    assert Path(mesh_lab.__file__).exists()
    asyncio.run(serve(socket.socket(fileno=int(sys.argv[1])), Path(sys.argv[2])))
