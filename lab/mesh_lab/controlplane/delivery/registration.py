"""WorkloadEntries of machines that register by themselves: what is written when one comes, goes, and stays away.

Of those that were written by hand the same is told where their health is checked, which then is known no more.

Source: pilot/pkg/autoregistration/controller.go of Istio 1.30. Other than there, an entry whose istiod is gone is
removed as if its machine had left then: a lab that is taken down has no time to say goodbye.
https://istio.io/latest/docs/setup/install/virtual-machine/
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from mesh_lab import conditions, rfc3339
from mesh_lab.controlplane.delivery.identity import Unauthenticated
from mesh_lab.controlplane.delivery.machines import Claim
from mesh_lab.controlplane.delivery.push import Connection
from mesh_lab.controlplane.delivery.state import ClusterState
from mesh_lab.controlplane.kube.client import ApiError, Object, Unreachable
from mesh_lab.controlplane.kube.kinds import FOLLOWED, Kind
from mesh_lab.controlplane.model.workloads import WorkloadGroup
from mesh_lab.controlplane.world.locality import OWN_LOCALITY
from mesh_lab.controlplane.world.snapshot import Config
from mesh_lab.controlplane.world.workloadhealth import ANNOTATION, HEALTHY

log = logging.getLogger(__name__)

GROUP = "istio.io/autoRegistrationGroup"
CONTROLLER = "istio.io/workloadController"
CONNECTED = "istio.io/connectedAt"
DISCONNECTED = "istio.io/disconnectedAt"

GRACE_SECONDS = 10.0
"""How long a machine may stay away: PILOT_WORKLOAD_ENTRY_GRACE_PERIOD in Istio."""
_SWEEP_SECONDS = 10 * GRACE_SECONDS
_RETRY_SECONDS = 1.0
_LONGEST_NAME = 253
_ENTRIES = FOLLOWED["WorkloadEntry"]
_NOT_FOUND, _CONFLICT = 404, 409


class Unregistered(Exception):  # noqa: N818 - a state of the machine
    """The machine cannot be registered. The message is meant for the machine."""


class Api(Protocol):
    """What this needs of the API."""

    async def get(self, kind: Kind, name: str, namespace: str = "") -> Object | None:
        """An object, or None."""

    async def list_all(self, kind: Kind, namespace: str = "") -> tuple[list[Object], str]:
        """All objects of a kind."""

    async def create(self, kind: Kind, obj: Object, namespace: str = "") -> Object:
        """Create an object."""

    async def merge(
        self, kind: Kind, name: str, patch: Mapping[str, Any], namespace: str = "", subresource: str = ""
    ) -> Object:
        """Patch an object."""

    async def delete(self, kind: Kind, name: str, namespace: str, resource_version: str) -> None:
        """Delete an object as of a version."""


def entry_name(claim: Claim) -> str:
    """The name of a machine's entry: group, address and network (`autoregisteredWorkloadEntryName`)."""
    parts = [claim.group, claim.address.replace(":", "-"), *([claim.network] if claim.network else [])]
    return "-".join(parts)[-_LONGEST_NAME:]


def name_of(claim: Claim) -> str:
    """The name of the entry that a machine registers, or names; empty where it does neither."""
    return entry_name(claim) if claim.group else claim.entry


def entry_of_group(claim: Claim, group: Config[WorkloadGroup], uid: str) -> Object:
    """The entry of a machine, from its group (`workloadEntryFromGroup`). What the node says of labels comes first."""
    template, given = group.spec.template, group.spec.metadata
    labels = {**template.labels, **(given.labels if given else {}), **claim.labels}
    locality = labels.pop(OWN_LOCALITY, "").replace(".", "/") or template.locality
    spec = {
        "address": claim.address,
        "labels": labels,
        "ports": dict(template.ports),
        "network": claim.network or template.network,
        "locality": locality,
        "weight": template.weight,
        "serviceAccount": template.service_account,
    }
    owner = {
        "apiVersion": "networking.istio.io/v1",
        "kind": "WorkloadGroup",
        "name": group.name,
        "uid": uid,
        "controller": True,
    }
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "WorkloadEntry",
        "metadata": {
            "name": entry_name(claim),
            "namespace": claim.namespace,
            "labels": labels,
            "annotations": {
                GROUP: group.name,
                **(given.annotations if given else {}),
                **({ANNOTATION: "true"} if claim.probed else {}),
            },
            "ownerReferences": [owner],
        },
        "spec": {name: value for name, value in spec.items() if value},
    }


def is_left(entry: Object, now: datetime) -> bool:
    """Whether an entry's machine has stayed away for too long (`shouldCleanupEntry`)."""
    annotations = _annotations(entry)
    left = _moment(annotations, DISCONNECTED)
    is_ours = GROUP in annotations or bool(annotations.get(CONTROLLER) and conditions.find(_conditions(entry), HEALTHY))
    return (
        is_ours
        and not annotations.get(CONNECTED)
        and left is not None
        and now - left >= timedelta(seconds=GRACE_SECONDS)
    )


def check_account(claim: Claim, account: str, what: str) -> None:
    """Check that what a machine is to be is its account's.

    Raises:
        Unauthenticated: it is another's.
    """
    if account not in ("", claim.service_account):
        raise Unauthenticated(
            f"{what} is of service account {account}, and the token is that of {claim.service_account}"
        )


def _annotations(entry: Object) -> Mapping[str, str]:
    return entry["metadata"].get("annotations") or {}


def _conditions(entry: Object) -> conditions.Conditions:
    return (entry.get("status") or {}).get("conditions") or ()


def _moment(annotations: Mapping[str, str], name: str) -> datetime | None:
    try:
        return rfc3339.parse(annotations[name])
    except (KeyError, ValueError):
        return None


class Registrar:
    """Writes the entries of machines. `instance` is the name of this istiod's pod."""

    def __init__(
        self, api: Api, state: ClusterState, connections: Callable[[], Iterable[Connection]], instance: str
    ) -> None:
        self._api = api
        self._state = state
        self._connections = connections
        self._instance = instance
        self._tasks: set[asyncio.Task[None]] = set()
        state.hook(WorkloadGroup.__name__, self._on_group)

    async def register(self, claim: Claim, came: datetime | None = None) -> str:
        """Write that a machine has come, and return the name of its entry. One that it only names may be missing yet.

        It came now, unless `came` says when.

        Raises:
            Unregistered: there is no such group, or its entry is refused.
            Unauthenticated: the group, or the entry, is another account's.
            ApiError, Unreachable: the entry cannot be written now.
        """
        name = name_of(claim)
        known = await self._api.get(_ENTRIES, name, claim.namespace)
        if known is None and claim.group:
            await self._create(claim, came)
        elif known is not None and (claim.group or ANNOTATION in _annotations(known)):
            account = (known.get("spec") or {}).get("serviceAccount", "")
            check_account(claim, account, f"WorkloadEntry {claim.namespace}/{name}")
            await self._annotate(known, {**self._here(came), DISCONNECTED: None})
        return name

    async def _create(self, claim: Claim, came: datetime | None) -> None:
        key = (claim.namespace, claim.group)
        group, subject = self._group(key), self._state.subjects.get((WorkloadGroup.__name__, *key))
        if group is None or subject is None:
            raise Unregistered(
                f"auto-registration of {claim.name}.{claim.namespace} failed: "
                f"cannot find WorkloadGroup {claim.namespace}/{claim.group}"
            )
        check_account(claim, group.spec.template.service_account, f"WorkloadGroup {claim.namespace}/{claim.group}")
        entry = entry_of_group(claim, group, subject.uid)
        entry["metadata"]["annotations"] |= self._here(came)
        try:
            await self._api.create(_ENTRIES, entry, claim.namespace)
        except ApiError as error:
            if error.status >= 500 or error.status == _CONFLICT:
                raise
            raise Unregistered(
                f"auto-registration of {claim.name}.{claim.namespace} failed: error creating WorkloadEntry: {error}"
            ) from error
        log.info("auto-registered WorkloadEntry %s/%s", claim.namespace, entry["metadata"]["name"])

    def _group(self, key: tuple[str, str]) -> Config[WorkloadGroup] | None:
        return self._state.latest.of(WorkloadGroup).get(key)

    def _here(self, came: datetime | None) -> dict[str, str]:
        return {CONTROLLER: self._instance, CONNECTED: rfc3339.micro_timestamp(came)}

    async def _annotate(self, entry: Object, annotations: Mapping[str, str | None]) -> None:
        """Write annotations, unless the entry has changed meanwhile."""
        meta = entry["metadata"]
        patch = {"metadata": {"resourceVersion": meta["resourceVersion"], "annotations": annotations}}
        await self._api.merge(_ENTRIES, meta["name"], patch, meta["namespace"])

    def left(self, connection: Connection) -> None:
        """Take note that a machine's stream has ended."""
        claim = connection.machine.claim if connection.machine is not None else None
        if claim is None or not claim.entry or self._is_here(claim):
            return
        self._start(self._leave(claim, connection.connected_at, datetime.now(UTC)))

    def _is_here(self, claim: Claim) -> bool:
        """Whether another stream is the same machine's."""
        return any(each.machine is not None and each.machine.claim.key == claim.key for each in self._connections())

    async def _leave(self, claim: Claim, came: datetime, left: datetime) -> None:
        """Write that a machine has left and, if it stays away, remove its entry or what that says of its health."""
        name = claim.entry

        async def write() -> None:
            entry = await self._api.get(_ENTRIES, name, claim.namespace)
            if entry is not None and not self._is_here(claim):
                await self._write_left(entry, came, left)

        await self._insist(write, f"writing that WorkloadEntry {claim.namespace}/{name} is disconnected")
        await asyncio.sleep(GRACE_SECONDS)
        await self._insist(lambda: self._remove_left(claim.namespace, name), f"removing {claim.namespace}/{name}")

    async def _write_left(self, entry: Object, came: datetime, left: datetime) -> None:
        """Unless it is another istiod's, or has come again."""
        annotations = _annotations(entry)
        connected = _moment(annotations, CONNECTED)
        if annotations.get(CONTROLLER) != self._instance or (connected is not None and connected > came):
            return
        await self._annotate(entry, {CONNECTED: None, DISCONNECTED: rfc3339.micro_timestamp(left)})

    async def _remove_left(self, namespace: str, name: str) -> None:
        entry = await self._api.get(_ENTRIES, name, namespace)
        if entry is None or not is_left(entry, datetime.now(UTC)):
            return
        version = entry["metadata"]["resourceVersion"]
        if GROUP in _annotations(entry):
            await self._api.delete(_ENTRIES, name, namespace, version)
            log.info("cleaned up auto-registered WorkloadEntry %s/%s", namespace, name)
            return
        others = conditions.others(_conditions(entry), HEALTHY)
        patch = {"metadata": {"resourceVersion": version}, "status": {"conditions": others}}
        await self._api.merge(_ENTRIES, name, patch, namespace, "status")
        log.info("cleaned up health-checked WorkloadEntry %s/%s", namespace, name)

    async def _insist(self, step: Callable[[], Coroutine[Any, Any, None]], what: str) -> None:
        """Take a step until it is done: the API server may be away, or somebody else may have been quicker."""
        while True:
            try:
                await step()
            except ApiError as error:
                if error.status == _NOT_FOUND:
                    return
                if error.status != _CONFLICT:
                    log.warning("%s: %s", what, error)
            except Unreachable as error:
                log.warning("%s: %s", what, error)
            else:
                return
            await asyncio.sleep(_RETRY_SECONDS)

    async def run(self) -> None:
        """Remove what machines have left behind that no istiod saw leave, until cancelled."""
        try:
            while True:
                await asyncio.sleep(GRACE_SECONDS)
                await self._insist(self._sweep, "looking for WorkloadEntries that are left")
                await asyncio.sleep(_SWEEP_SECONDS - GRACE_SECONDS)
        finally:
            for task in self._tasks:
                task.cancel()

    async def _sweep(self) -> None:
        """Look at each entry once. One that cannot be written keeps no other from its turn: the next sweep is soon."""
        entries, _ = await self._api.list_all(_ENTRIES)
        for entry in entries:
            try:
                await self._sweep_one(entry)
            except ApiError as error:
                if error.status not in (_NOT_FOUND, _CONFLICT):
                    meta = entry["metadata"]
                    log.warning("looking after WorkloadEntry %s/%s: %s", meta["namespace"], meta["name"], error)

    async def _sweep_one(self, entry: Object) -> None:
        annotations, meta = _annotations(entry), entry["metadata"]
        if GROUP not in annotations and CONTROLLER not in annotations:
            return
        if annotations.get(CONNECTED) and self._is_orphan(meta["namespace"], meta["name"], annotations):
            await self._annotate(entry, {CONNECTED: None, DISCONNECTED: rfc3339.micro_timestamp()})
            self._start(self._after_grace(meta["namespace"], meta["name"]))
        else:
            await self._remove_left(meta["namespace"], meta["name"])

    def _is_orphan(self, namespace: str, name: str, annotations: Mapping[str, str]) -> bool:
        """Whether the istiod that an entry is connected to is gone, or knows nothing of it."""
        controller = annotations.get(CONTROLLER, "")
        if controller != self._instance:
            return all(pod != controller for _, pod in self._state.latest.pods)
        claims = (each.machine.claim for each in self._connections() if each.machine is not None)
        return all((claim.namespace, claim.entry) != (namespace, name) for claim in claims)

    async def _after_grace(self, namespace: str, name: str) -> None:
        await asyncio.sleep(GRACE_SECONDS)
        await self._insist(lambda: self._remove_left(namespace, name), f"removing {namespace}/{name}")

    def _on_group(self, event: str, group: Object) -> None:
        """A hook for groups: machines that are connected register with one that is new."""
        key = (group["metadata"].get("namespace", ""), group["metadata"]["name"])
        if event != "ADDED" or not self._state.complete:
            return
        for connection in self._connections():
            claim = connection.machine.claim if connection.machine is not None else None
            if claim is not None and (claim.namespace, claim.group) == key:
                self._start(self._register_late(claim, connection))

    async def _register_late(self, claim: Claim, connection: Connection) -> None:
        """Register a machine that was there before its group; one that leaves meanwhile is said to have left."""
        await self._state.snapshotted.until(
            lambda: self._group((claim.namespace, claim.group)) is not None, GRACE_SECONDS
        )

        async def step() -> None:
            try:
                await self.register(claim, connection.connected_at)
            except (Unregistered, Unauthenticated) as error:
                log.warning("%s", error)

        await self._insist(step, f"registering {claim.name}.{claim.namespace}")
        if not self._is_here(claim):
            await self._leave(replace(claim, entry=name_of(claim)), connection.connected_at, datetime.now(UTC))

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
