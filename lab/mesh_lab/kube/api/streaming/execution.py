"""`kubectl exec` and `kubectl attach`."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress

from aiohttp import web

from mesh_lab.kube.api.context import STREAMS, Call
from mesh_lab.kube.api.streaming import spdychannels, targets
from mesh_lab.kube.api.streaming.channels import RESIZE, STDERR, STDIN, STDOUT, Channels, exit_status
from mesh_lab.kube.api.streaming.spdychannels import SpdyChannels
from mesh_lab.kube.errors import ApiError, bad_request
from mesh_lab.kube.streams import ExecSession


async def run(call: Call) -> web.StreamResponse:
    """Run a command in a container, its streams on channels. It is killed when the client disconnects."""
    command = call.request.query.getall("command", [])
    if not command:
        raise bad_request("you must specify at least 1 command")
    stdin, tty = call.flag("stdin"), call.flag("tty")
    streams = call.request.app[STREAMS]
    return await _hold(
        call, lambda container: streams.exec(call.namespace, call.name, container, command, stdin=stdin, tty=tty)
    )


async def attach(call: Call) -> web.StreamResponse:
    """Attach to a container: what it writes from now on, and its input if it has one."""
    stdin = call.flag("stdin")
    streams = call.request.app[STREAMS]
    return await _hold(call, lambda container: streams.attach(call.namespace, call.name, container, stdin=stdin))


async def _hold(call: Call, begin: Callable[[str], Awaitable[ExecSession]]) -> web.StreamResponse:
    """Upgrade the connection and carry a session's streams on it.

    Errors of the container are a `Status` before the upgrade: clients read the error channel after the command at best,
    and the official Python client does not read it at all.
    """
    pod = call.registry.get(call.resource, call.name, call.namespace)
    container = targets.container(pod, call.query("container"))
    call.request.app[STREAMS].check_running(call.namespace, call.name, container)
    channels = await _accept(call)
    try:
        session = await begin(container)
    except ApiError as error:
        # A command that cannot be started fails like one that could: after the upgrade.
        await channels.finish(error.status())
        return channels.response
    try:
        await _converse(channels, session)
    finally:
        await session.kill()
    return channels.response


async def _accept(call: Call) -> Channels | SpdyChannels:
    """Upgrade the connection to what the client asks for."""
    if spdychannels.is_wanted(call.request):
        return await SpdyChannels.accept(call.request, stdin=call.flag("stdin"), tty=call.flag("tty"))
    return await Channels.accept(call.request)


async def _converse(channels: Channels | SpdyChannels, session: ExecSession) -> None:
    """Carry the streams until the command ends or the client disconnects."""
    listening = asyncio.create_task(_listen(channels, session))
    running = asyncio.create_task(_output(channels, session))
    try:
        await asyncio.wait((listening, running), return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            await _cancel(listening)
            await channels.finish(exit_status(running.result()))
    except ConnectionError:
        pass
    finally:
        await _cancel(listening, running)


async def _output(channels: Channels | SpdyChannels, session: ExecSession) -> int:
    async with asyncio.TaskGroup() as group:
        group.create_task(_send(channels, STDOUT, session.stdout()))
        group.create_task(_send(channels, STDERR, session.stderr()))
    return await session.wait()


async def _send(channels: Channels | SpdyChannels, channel: int, chunks: AsyncIterator[bytes]) -> None:
    # The reader of the inputs notices a client that disconnects.
    with suppress(ConnectionError):
        async for chunk in chunks:
            await channels.send(channel, chunk)


async def _listen(channels: Channels | SpdyChannels, session: ExecSession) -> None:
    async for item in channels.inputs():
        if item.channel == STDIN:
            if item.data:
                await session.write(item.data)
            if item.ended:
                await session.close_stdin()
        elif item.channel == RESIZE and item.data:
            with suppress(ValueError, KeyError, TypeError):
                size = json.loads(item.data)
                session.resize(int(size["Width"]), int(size["Height"]))


async def _cancel(*tasks: asyncio.Task[object]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
