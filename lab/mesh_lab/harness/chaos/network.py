"""A network fault on a pod, asked for by an annotation and waited for by the condition that answers it.

See `mesh_lab.networkfaults`. Nothing here sleeps: the pod is watched until its node has answered.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from urllib.parse import quote

import msgspec

from mesh_lab import networkfaults
from mesh_lab.client.api import Api
from mesh_lab.client.connection import ApiError
from mesh_lab.client.objects import Items, Object, Reference
from mesh_lab.conditions import find
from mesh_lab.harness.chaos.bounds import ChaosError, ChaosUnsupported
from mesh_lab.networkfaults import KINDS_ANNOTATION, PREFIX, Fault, packets_in, written

ANSWER_SECONDS = 20.0
_FORBIDDEN, _NOT_FOUND = 403, 404


class NetworkFault:
    """A fault in force. It ends with its `with` block, with `end`, or at its `until`.

    `packets` is how many it has dropped or delayed, once it has ended (None where its pod was gone before).
    """

    def __init__(self, api: Api, pod: Object, fault: Fault, ended: Callable[[NetworkFault], None]) -> None:
        """Put it in force.

        Raises:
            ChaosUnsupported: the cluster, or the kernel of its node, cannot.
            ChaosError: the pod is gone, or the fault's end had passed before it could begin.
            ApiError, ClusterUnreachable, WaitTimeoutError: the cluster does not answer as it should.
        """
        _check_node(api, pod)
        self.fault = fault
        self.packets: int | None = None
        self._api = api
        self._tell_end = ended
        metadata = pod["metadata"]
        self._uid = metadata["uid"]
        self._pod = Reference("v1", "Pod", metadata["name"], metadata["namespace"])
        self._key = PREFIX + uuid.uuid4().hex[:12]
        self._over = False
        try:
            self.description = self._begin()
        except BaseException:
            self._over = True
            self._annotate(None)
            raise

    def _begin(self) -> str:
        """Ask for it, and give the node's words for it once it is in force."""
        self._annotate(self.fault)
        answer = self._answered("the node puts the fault in force", bool)
        if answer is None:
            raise ChaosError(f"no fault for pod {self._pod.name}: it is gone", hint="get the pod anew: `mesh.pod`")
        match answer["reason"]:
            case networkfaults.IN_FORCE:
                return str(answer["message"])
            case networkfaults.REFUSED:
                raise ChaosUnsupported(f"no fault for pod {self._pod.name}: {answer['message']}")
            case _:
                raise ChaosError(
                    f"the fault of pod {self._pod.name} had ended before it could begin: {answer['message']}",
                    hint="ask for more with seconds=..., and see that the node's clock is this machine's",
                )

    def __enter__(self) -> NetworkFault:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        early = self.end()
        if early and kind is None:
            raise ChaosError(
                f"the fault of pod {self._pod.name} had ended by itself before its block did: {self.description}",
                hint="ask for more with seconds=..., up to the bounds of the test",
            )

    def end(self) -> bool:
        """End it, and wait until it is no more; once more does nothing. Whether it had ended by itself before.

        Raises:
            ApiError, ClusterUnreachable, WaitTimeoutError: the cluster does not answer as it should.
        """
        if self._over:
            return False
        self._over = True
        early = self.fault.until <= datetime.now(UTC)
        self._annotate(msgspec.structs.replace(self.fault, until=datetime.now(UTC)))
        answer = self._answered("the node ends the fault", lambda answer: answer.get("reason") == networkfaults.ENDED)
        if answer is not None:
            self.packets = packets_in(answer["message"])
        self._annotate(None)
        self._tell_end(self)
        return early

    def _annotate(self, fault: Fault | None) -> None:
        change = {"metadata": {"annotations": {self._key: None if fault is None else written(fault)}}}
        try:
            self._api.patch(self._pod, change)
        except ApiError as error:
            if error.code != _NOT_FOUND:  # its pod is gone, and the fault with it
                raise

    def _answered(self, why: str, is_answer: Callable[[Mapping[str, str]], bool]) -> Mapping[str, str] | None:
        """The condition that answers; None when the pod is gone."""
        path = self._api.path("v1", "Pod", self._pod.namespace)

        def told(pods: Items) -> Mapping[str, str]:
            pod = pods.get(self._pod.name)
            return find(pod.get("status", {}).get("conditions"), self._key) if pod else {}

        def settled(pods: Items) -> bool:
            pod = pods.get(self._pod.name)
            return pod is None or pod["metadata"]["uid"] != self._uid or is_answer(told(pods))

        pods = self._api.wait_until(
            f"{path}?fieldSelector={quote(f'metadata.name={self._pod.name}', safe='')}",
            settled,
            timeout=ANSWER_SECONDS,
            why=f"{why} ({self._pod.namespace}/{self._pod.name}, {self._key})",
            describe=lambda pods: f"  the pod's condition: {dict(told(pods)) or 'none'}",
        )
        return told(pods) or None


def _check_node(api: Api, pod: Object) -> None:
    """See whether a pod's node makes network faults.

    Raises:
        ChaosUnsupported: it does not.
    """
    name = pod["spec"].get("nodeName", "")
    try:
        node = api.get(Reference("v1", "Node", name, ""))
    except ApiError as error:
        if error.code not in (_FORBIDDEN, _NOT_FOUND):
            raise
        raise ChaosUnsupported(f"whether node {name!r} can make network faults cannot be seen: {error}") from None
    if KINDS_ANNOTATION not in (node["metadata"].get("annotations") or {}):
        raise ChaosUnsupported(
            f"network faults are made by the node of a lab's embedded cluster; the Kubernetes API has none, and node "
            f"{name} does not offer any (it has no annotation {KINDS_ANNOTATION})"
        )
