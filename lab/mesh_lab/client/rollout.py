"""Waiting until configuration is in force: every proxy has acknowledged it, or what is left without it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from mesh_lab.client.connection import ApiError
from mesh_lab.client.meshstatus import ACKNOWLEDGED, ConfigState, MeshState, MeshStatus, reaches
from mesh_lab.client.objects import Reference
from mesh_lab.errors import ConfigurationRefusedError, LabError

Report = Callable[[str], None]
_LONGEST_POLL_S = 10.0
_RETRY_S = 0.05
_HINT = "kubectl -n istio-system logs deploy/istiod"
_State = TypeVar("_State")


def await_mesh(status: MeshStatus, deadline: float, report: Report, *, proxies: int = 0) -> MeshState:
    """Return once at least `proxies` proxies are connected and have acknowledged all they were sent.

    `deadline` is in `time.monotonic` seconds. Raises `LabError` at the deadline, naming the proxies that have not, and
    `ConfigurationRefusedError` as soon as all have answered and one has refused something.
    """

    def ask(wait: float) -> tuple[MeshState, bool]:
        state = status.mesh(wait=wait)
        return state, (state.synced or state.hopeless) and len(state.proxies) >= proxies

    state = _until(ask, deadline, report)
    if state.synced and len(state.proxies) >= proxies:
        return state
    expected = max(proxies, len(state.proxies))
    lines = [f"{state.in_sync} of {expected} proxies are in sync:"]
    lines += [f"  {proxy}" for proxy in state.proxies if not proxy.synced]
    if state.hopeless and len(state.proxies) >= proxies:
        raise ConfigurationRefusedError("\n".join(lines), hint=status.refused)
    raise LabError("\n".join(lines))


def await_config(
    status: MeshStatus, reference: Reference, version: str, deadline: float, report: Report
) -> ConfigState:
    """Return once every proxy that `reference` concerns has acknowledged `version` of it, or a later one.

    `deadline` is in `time.monotonic` seconds. Raises `LabError` at the deadline, or as soon as the resource is refused,
    saying which proxy has not acknowledged it and why.
    """

    def ask(wait: float) -> tuple[ConfigState, bool]:
        state = status.config(reference, wait=wait)
        current = state.found and reaches(state.resource_version, version)
        return state, current and (state.live or state.hopeless)

    state = _until(ask, deadline, report)
    if not state.found:
        raise LabError(f"{reference}: the control plane does not know it")
    if not state.live or not reaches(state.resource_version, version):
        why = [f"  {finding}" for finding in state.findings]
        why += [f"  {proxy}" for proxy in state.proxies if proxy.state != ACKNOWLEDGED]
        why += [f"  {state.remark}"] if state.remark else []
        raise LabError(
            "\n".join([f"{reference}: not live on every proxy:", *(why or ["  the change is not seen yet"])])
        )
    return state


def await_gone(status: MeshStatus, reference: Reference, deadline: float, report: Report) -> ConfigState:
    """Return once `reference` is deleted and every proxy has acknowledged what is left without it.

    `deadline` is in `time.monotonic` seconds. Raises `LabError` at the deadline, saying what still has it.
    """

    def ask(wait: float) -> tuple[ConfigState, bool]:
        state = status.config(reference, wait=wait)
        return state, not state.found and state.live

    state = _until(ask, deadline, report)
    if state.found:
        raise LabError(f"{reference}: it is not deleted")
    if not state.live:
        why = [f"  {proxy}" for proxy in state.proxies if proxy.state != ACKNOWLEDGED]
        raise LabError("\n".join([f"{reference}: it is deleted, but still in force:", *why]))
    return state


def _until(ask: Callable[[float], tuple[_State, bool]], deadline: float, report: Report) -> _State:
    """Ask until the answer is good or the time is up, and give the last answer. Raises `LabError` without any."""
    state: _State | None = None
    trouble = ""
    while True:
        left = max(0.0, deadline - time.monotonic())
        try:
            state, good = ask(min(left, _LONGEST_POLL_S))
        except ApiError as error:
            # The control plane may just be starting again; its proxies keep what they have, and so can we wait.
            good = False
            if error.message != trouble:
                trouble = error.message
                report(f"the control plane does not answer: {trouble}")
        if state is not None and (good or left <= 0):
            return state
        if left <= 0:
            raise LabError(f"the control plane does not answer: {trouble}", hint=_HINT)
        time.sleep(min(left, _RETRY_S))
