"""Keeps the node's packet filter at what pods' annotations ask for, and tells of it in the pods' conditions and Events.

A fault ends when its annotation goes, its pod goes, or its `until` has passed. A node that starts anew begins without
any, and makes those that are still asked for.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from mesh_lab.conditions import condition, others
from mesh_lab.kube.errors import ApiError
from mesh_lab.kube.network.faults.line import LineError
from mesh_lab.kube.network.faults.making import Made, make, remove
from mesh_lab.kube.network.faults.text import name_of
from mesh_lab.kube.network.faults.wanted import Answer, Wanted, next_end, wanted
from mesh_lab.kube.network.nft import Nft, NftError
from mesh_lab.kube.objects.pods import read_pod
from mesh_lab.kube.recording import NORMAL, WARNING, Recorder
from mesh_lab.kube.reflector import BOOKMARK, DELETED, follow
from mesh_lab.kube.registry.registry import Registry
from mesh_lab.kube.resources import PODS
from mesh_lab.networkfaults import ENDED, IN_FORCE, PREFIX, REFUSED, asked_for, count_of, described

log = logging.getLogger(__name__)

Object = dict[str, Any]
AGAIN = timedelta(seconds=1)


@dataclass
class _Pod:
    """A pod that has, or had, faults. `object` is None once it is gone; `told` is what its conditions are to say."""

    object: Object | None
    told: dict[str, Answer]
    in_force: dict[str, Made] = field(default_factory=dict)


class Faults:
    """The faults of all pods of the node that has these addresses."""

    def __init__(self, registry: Registry, nft: Nft, recorder: Recorder, node: Sequence[str]) -> None:
        self._registry = registry
        self._nft = nft
        self._recorder = recorder
        self._node = node
        self._pods: dict[str, _Pod] = {}
        self._due: dict[str, datetime] = {}
        self._wake = asyncio.Event()

    async def run(self) -> None:
        """Run until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._watch())
            group.create_task(self._work())

    async def _watch(self) -> None:
        async for event in follow(self._registry, PODS):
            if event.type != BOOKMARK:
                self._look_at(event.object, gone=event.type == DELETED)

    def _look_at(self, obj: Object, *, gone: bool) -> None:
        uid, told = obj["metadata"]["uid"], _told(obj)
        if uid not in self._pods:
            if gone or not (told or any(asked_for(obj["metadata"].get("annotations") or {}))):
                return
            self._pods[uid] = _Pod(obj, told)
        self._pods[uid].object = None if gone else obj
        self._due[uid] = datetime.now(UTC)
        self._wake.set()

    async def _work(self) -> None:
        while True:
            self._wake.clear()
            now = datetime.now(UTC)
            for uid in [uid for uid, moment in self._due.items() if moment <= now]:
                del self._due[uid]
                await self._serve(uid, self._pods[uid])
            first = min(self._due.values(), default=None)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(None if first is None else (first - datetime.now(UTC)).total_seconds()):
                    await self._wake.wait()

    async def _serve(self, uid: str, pod: _Pod) -> None:
        """Lead one pod to what it asks for, and see when to look at it again; what does not succeed is tried again."""
        now = datetime.now(UTC)
        found = {} if pod.object is None else wanted(read_pod(pod.object), now)
        try:
            await self._lead(uid, pod, found)
        except (ApiError, NftError, LineError) as error:
            log.warning("the faults of the pod with the uid %s: %s", uid, error)
            self._due[uid] = now + AGAIN
            return
        if uid in self._due:
            return  # it has changed meanwhile
        if (end := next_end(found)) is not None:
            self._due[uid] = end
        elif not found:
            del self._pods[uid]

    async def _lead(self, uid: str, pod: _Pod, found: Mapping[str, Wanted | Answer]) -> None:
        """Put in force what was found, and nothing else, and tell of it.

        Raises:
            NftError, LineError: a fault cannot be ended.
            ApiError: it cannot be told.
        """
        for key in [key for key, made in pod.in_force.items() if found.get(key) != made.wanted]:
            await self._end(pod, key, found.get(key))
        for key, each in found.items():
            if isinstance(each, Answer):
                self._tell(pod, key, each)
            elif key not in pod.in_force:
                await self._begin(uid, pod, key, each)
        pod.told = {key: answer for key, answer in pod.told.items() if key in found}
        if pod.object is not None:
            await self._publish(pod.object, pod.told)

    async def _begin(self, uid: str, pod: _Pod, key: str, asked: Wanted) -> None:
        try:
            pod.in_force[key] = await make(self._nft, name_of(uid, key), asked, self._node)
        except (NftError, LineError) as error:
            self._tell(pod, key, Answer(REFUSED, f"the kernel refuses it: {error}"))
        else:
            self._tell(pod, key, Answer(IN_FORCE, described(asked.fault)))

    async def _end(self, pod: _Pod, key: str, now_asked: Wanted | Answer | None) -> None:
        packets = await remove(self._nft, pod.in_force[key])
        del pod.in_force[key]
        match now_asked:
            case Answer(reason, message):
                self._tell(pod, key, Answer(reason, f"{message}; {count_of(packets)}"))
            case None:
                self._tell(pod, key, Answer(ENDED, f"its annotation is gone; {count_of(packets)}"))

    def _tell(self, pod: _Pod, key: str, answer: Answer) -> None:
        before = pod.told.get(key)
        if before == answer or (before and before.reason == answer.reason == ENDED):
            return  # the first to tell of its end knows how many packets it was about
        pod.told[key] = answer
        if pod.object is not None:
            kind = WARNING if answer.reason == REFUSED else NORMAL
            self._recorder.record(pod.object, kind, f"Fault{answer.reason}", f"{key}: {answer.message}")

    async def _publish(self, obj: Object, told: Mapping[str, Answer]) -> None:
        """Write the conditions of a pod's faults.

        Raises:
            ApiError: they cannot be written.
        """
        metadata = obj["metadata"]

        def change(stored: Object) -> Object | None:
            status = stored.get("status") or {}
            before = status.get("conditions") or []
            stale = [each["type"] for each in before if each["type"].startswith(PREFIX)]
            ours = [
                condition(before, key, "True" if each.reason == IN_FORCE else "False", each.reason, each.message)
                for key, each in sorted(told.items())
            ]
            conditions = others(before, *stale) + ours
            if stored["metadata"]["uid"] != metadata["uid"] or conditions == before:
                return None
            return {**stored, "status": {**status, "conditions": conditions}}

        await self._registry.modify(PODS, metadata["name"], metadata["namespace"], change, subresource="status")


def _told(obj: Object) -> dict[str, Answer]:
    """What a pod's conditions tell of its faults."""
    conditions = obj.get("status", {}).get("conditions") or ()
    return {
        each["type"]: Answer(each.get("reason", ""), each.get("message", ""))
        for each in conditions
        if each["type"].startswith(PREFIX)
    }
