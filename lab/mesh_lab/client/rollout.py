"""Whether a Deployment is rolled out; waiting until configuration is in force, or out of force, on every proxy."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from mesh_lab.client.connection import ApiError
from mesh_lab.client.meshstatus import ACKNOWLEDGED, ConfigState, MeshState, MeshStatus, reaches
from mesh_lab.client.objects import Object, Reference
from mesh_lab.errors import ConfigurationRejected, WaitTimeoutError

Report = Callable[[str], None]
_LONGEST_POLL_SECONDS = 10.0
_RETRY_SECONDS = 0.05
_HINT = "kubectl -n istio-system logs deploy/istiod"
_State = TypeVar("_State")


def _say_nothing(_line: str) -> None:
    """A report that goes nowhere."""


def is_rolled_out(deployment: Object) -> bool:
    """As `kubectl rollout status` has it: the present generation was seen, all replicas are new and available."""
    spec, status = deployment.get("spec", {}), deployment.get("status", {})
    seen = status.get("observedGeneration", 0) >= deployment["metadata"].get("generation", 0)
    counts = {status.get(field, 0) for field in ("updatedReplicas", "replicas", "availableReplicas")}
    return bool(seen and counts == {spec.get("replicas", 1)})


def await_mesh(status: MeshStatus, deadline: float, report: Report = _say_nothing, *, proxies: int = 0) -> MeshState:
    """Return once at least `proxies` proxies are connected and have acknowledged all they were sent.

    `deadline` is in `time.monotonic` seconds.

    Raises:
        ConfigurationRejected: all have sent an ACK or NACK, and one a NACK.
        WaitTimeoutError: not all have acknowledged it at the deadline; the message names the proxies.
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
        raise ConfigurationRejected("\n".join(lines), hint=status.refused)
    raise WaitTimeoutError("\n".join(lines))


def await_live(
    status: MeshStatus, reference: Reference, version: str, deadline: float, report: Report = _say_nothing
) -> ConfigState:
    """Return once every proxy that `reference` concerns has acknowledged `version` of it, or a later one.

    `deadline` is in `time.monotonic` seconds. What is raised says which proxy has not acknowledged it, and why.

    Raises:
        ConfigurationRejected: a proxy (NACK) or the control plane has rejected it.
        WaitTimeoutError: not all have acknowledged it at the deadline.
    """

    def ask(wait: float) -> tuple[ConfigState, bool]:
        state = status.config(reference, version, wait=wait)
        return state, _is_current(state, version) and (state.live or state.hopeless)

    state = _until(ask, deadline, report)
    if not state.found:
        raise WaitTimeoutError(f"{reference}: the control plane does not know it")
    if state.live and _is_current(state, version):
        return state
    why = [f"  {finding}" for finding in state.findings]
    why += _unacknowledged(state)
    why += [f"  {state.remark}"] if state.remark else []
    text = "\n".join([f"{reference}: not live on every proxy:", *(why or ["  the change is not seen yet"])])
    if state.hopeless and _is_current(state, version):
        raise ConfigurationRejected(text)
    raise WaitTimeoutError(text)


def await_gone(status: MeshStatus, reference: Reference, deadline: float, report: Report = _say_nothing) -> ConfigState:
    """Return once `reference` is deleted and every proxy has acknowledged what is left without it.

    `deadline` is in `time.monotonic` seconds.

    Raises:
        WaitTimeoutError: it is not so at the deadline; the message says what still has it.
    """

    def ask(wait: float) -> tuple[ConfigState, bool]:
        state = status.config(reference, wait=wait)
        return state, not state.found and state.live

    state = _until(ask, deadline, report)
    if state.found:
        raise WaitTimeoutError(f"{reference}: it is not deleted")
    if not state.live:
        why = _unacknowledged(state)
        why += [f"  {state.remark}"] if state.remark else []
        raise WaitTimeoutError("\n".join([f"{reference}: it is deleted, but still in force:", *why]))
    return state


def _is_current(state: ConfigState, version: str) -> bool:
    return state.found and reaches(state.resource_version, version)


def _unacknowledged(state: ConfigState) -> list[str]:
    return [f"  {proxy}" for proxy in state.proxies if proxy.state != ACKNOWLEDGED]


def _until(ask: Callable[[float], tuple[_State, bool]], deadline: float, report: Report) -> _State:
    """Ask until the answer is good or the time is up, and return the last answer.

    Raises:
        WaitTimeoutError: there was no answer at all.
    """
    state: _State | None = None
    trouble = ""
    while True:
        left = max(0.0, deadline - time.monotonic())
        try:
            state, good = ask(min(left, _LONGEST_POLL_SECONDS))
        except ApiError as error:
            # The control plane may be restarting; its proxies keep what they have, so waiting is safe.
            good = False
            if error.message != trouble:
                trouble = error.message
                report(f"the control plane does not answer: {trouble}")
        if state is not None and (good or left <= 0):
            return state
        if left <= 0:
            raise WaitTimeoutError(f"the control plane does not answer: {trouble}", hint=_HINT)
        time.sleep(min(left, _RETRY_SECONDS))
