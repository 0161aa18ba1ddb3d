"""The kube process: API server, controllers, node and network of one lab in one asyncio loop.

It is pid 1 of the lab's PID namespace, so its end, however it comes, ends every process of the lab; and it ends when
the host process does, since the lifeline pipe between them then closes.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Coroutine
from typing import Any

from mesh_lab import collecting, rfc3339
from mesh_lab.kube import heavy, orphans, pki, trust
from mesh_lab.kube.api.app import build_app, serve
from mesh_lab.kube.api.auth.authentication import Authenticator
from mesh_lab.kube.api.context import ClusterInfo
from mesh_lab.kube.api.webhooks.admission import Webhooks
from mesh_lab.kube.config import BALANCERS, KubeConfig, read_config
from mesh_lab.kube.controllers import Controllers
from mesh_lab.kube.journal import JournalError
from mesh_lab.kube.network import HostSockets, Network, NodeNetworkError, prepare_node
from mesh_lab.kube.node.agent import NodeAgent
from mesh_lab.kube.outside import Outside
from mesh_lab.kube.registry import Registry
from mesh_lab.kube.registry.kinds import STORED
from mesh_lab.kube.registry.tokens import TokenIssuer
from mesh_lab.kube.store import Store

log = logging.getLogger(__name__)

_SLOW_WRITE_SECONDS = 5.0  # a write to a healthy disk takes milliseconds


class _Stopped(Exception):  # noqa: N818 - it ends the task group on purpose, nothing went wrong
    """The lab is to stop: a signal, or the host process is gone."""


def main(arguments: list[str]) -> int:
    """Run until SIGTERM, or until the host process is gone. `arguments` are `--config-fd N`."""
    if len(arguments) != 2 or arguments[0] != "--config-fd" or not arguments[1].isdigit():
        print("usage: python -m mesh_lab.kube --config-fd N   (started by `mesh-lab up`)", file=sys.stderr)  # noqa: T201
        return 2
    _log_to_stderr()
    sys.setswitchinterval(heavy.SWITCH_SECONDS)
    config = read_config(int(arguments[1]))
    code = 0
    try:
        asyncio.run(_run(config))
    except* _Stopped:
        log.info("stopped")
    except* (JournalError, pki.PkiError, NodeNetworkError) as group:
        for error in group.exceptions:
            log.error("%s", error)  # noqa: TRY400 - the message says all, a traceback would hide it
        code = 1
    return code


async def _run(config: KubeConfig) -> None:
    stop = _stop_signal(config.lifeline_fd)
    orphans.Reaper().start()
    prepare_node(config.node_address, config.dns_address, config.pod_cidr, config.service_cidr, BALANCERS, config.ipv6)
    keys = pki.ensure(config.state / "pki", (config.api_service_address, config.node_address))
    server = f"https://127.0.0.1:{config.api_port}"
    pki.write_kubeconfig(config.state / "kubeconfig", keys, name=config.name, server=server)
    store = Store.open(config.state / "journal.db", tuple(resource.key for resource in STORED))
    try:
        await _serve(config, keys, store, stop)
    finally:
        await store.close()


async def _serve(config: KubeConfig, keys: pki.Pki, store: Store, stop: asyncio.Event) -> None:
    registry = Registry(store, service_cidr=",".join(config.service_cidrs))
    tokens = TokenIssuer(keys.signing_key, registry)
    registry.admission = Webhooks(registry)
    await registry.bootstrap()
    host = HostSockets(config.control_fd)
    controllers = Controllers(registry, config, keys.authority_pem)
    network = Network(registry, config, host)
    agent = NodeAgent(registry, config, tokens, network.policies)
    outside = _internet(config)
    info = ClusterInfo(
        name=config.name,
        alive={"store": lambda: _delay(store), "journal": lambda: store.failure},
        ready={
            "controllers": controllers.trouble,
            "network": network.trouble,
            "node": agent.trouble,
            "shutdown": lambda: "the lab is being taken down" if stop.is_set() else "",
        },
    )
    app = build_app(registry, Authenticator(tokens), agent, info)
    listeners = [socket.socket(fileno=config.api_fd), _listen(config.node_address, config.node_api_port)]
    async with asyncio.TaskGroup() as group:
        _start(group, "api server", serve(app, listeners, keys.server_context()))
        _start(group, "controllers", controllers.run())
        _start(group, "network", network.run())
        _start(group, "node", agent.run())
        _start(group, "garbage collection", collecting.between_changes())
        if outside is not None:
            _start(group, "internet", outside.run())
        await host.ready()
        log.info("the API server listens on https://127.0.0.1:%d", config.api_port)
        await stop.wait()
        raise _Stopped


def _internet(config: KubeConfig) -> Outside | None:
    """Make what pods reach outside of the cluster, and what they know it by."""
    if config.internet is None:
        return None
    authority = trust.ensure(config.state)
    try:
        return Outside(config.internet, config, authority)
    except OSError as error:
        raise NodeNetworkError(f"cannot set up the lab's internet: {error}") from error


def _delay(store: Store) -> str:
    """Return why writes are not stored at present; empty when they are."""
    seconds = store.delayed()
    return f"a write has been under way for {seconds:.0f} s" if seconds > _SLOW_WRITE_SECONDS else ""


def _start(group: asyncio.TaskGroup, name: str, part: Coroutine[Any, Any, None]) -> None:
    group.create_task(part, name=name)


def _stop_signal(lifeline: int) -> asyncio.Event:
    """Return an event that SIGTERM, SIGINT and the end of the lifeline set."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)

    def lost() -> None:
        if not os.read(lifeline, 1):
            # The host process is gone, so there is no orderly stop; acknowledged writes are in the journal.
            os._exit(1)

    loop.add_reader(lifeline, lost)
    return stop


def _listen(address: str, port: int) -> socket.socket:
    listener = socket.create_server((address, port), backlog=512)
    listener.setblocking(False)
    return listener


def _log_to_stderr() -> None:
    """Plain lines with UTC times; the host process appends them to the lab's log."""
    logging.Formatter.converter = time.gmtime
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)sZ %(name)s: %(levelname)s %(message)s", datefmt=rfc3339.TO_SECONDS
    )
