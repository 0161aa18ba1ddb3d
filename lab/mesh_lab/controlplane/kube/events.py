"""Events on resources, for `kubectl describe`: one that happens again increments the count of the first."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple, Protocol

from mesh_lab.controlplane.kube.client import ApiError, Object, Unreachable
from mesh_lab.controlplane.kube.kinds import EVENTS, Kind
from mesh_lab.rfc3339 import timestamp

log = logging.getLogger(__name__)

_COMPONENT = "istiod"
_LONGEST_NAME = 230
_CONFLICT = 409
_LONGEST_MESSAGE = 1024
_OF_THE_CLUSTER = "default"  # where Kubernetes keeps Events on objects without a namespace

Key = tuple[str, str, str]
"""An object: kind, namespace and name."""

Severity = Literal["Normal", "Warning"]
Observer = Callable[[str, Object], None]
"""Takes what happened to an object (ADDED, MODIFIED, DELETED), and the object."""


class Subject(NamedTuple):
    """What a report on an Istio resource needs to know of it."""

    uid: str
    api_version: str
    generation: int
    status: Mapping[str, Any]


class Api(Protocol):
    """What this needs of the API."""

    async def get(self, kind: Kind, name: str, namespace: str = "") -> Object | None:
        """An object, if there is one."""

    async def create(self, kind: Kind, obj: Object, namespace: str = "") -> Object:
        """Create an object."""

    async def merge(
        self, kind: Kind, name: str, patch: Mapping[str, Any], namespace: str = "", subresource: str = ""
    ) -> Object:
        """Patch an object."""


async def warn(api: Api, key: Key, subject: Subject, reason: str, message: str) -> None:
    """Make a Warning of what happened to the resource, or count it once more. A failure is logged, no more."""
    await _make(api, key, _event(key, subject, "Warning", reason, message[:_LONGEST_MESSAGE]), count=True)


async def record_once(api: Api, key: Key, subject: Subject, severity: Severity, reason: str, message: str) -> None:
    """Make an Event of a finding that stays; one that is there already says so. A failure is logged, no more."""
    await _make(api, key, _event(key, subject, severity, reason, message[:_LONGEST_MESSAGE]), count=False)


async def _make(api: Api, key: Key, event: Object, *, count: bool) -> None:
    name, namespace = event["metadata"]["name"], event["metadata"]["namespace"]
    try:
        before = await api.get(EVENTS, name, namespace)
        if before is None:
            await api.create(EVENTS, event, namespace)
        elif count:
            again = {"count": before.get("count", 1) + 1, "lastTimestamp": event["lastTimestamp"]}
            await api.merge(EVENTS, name, again, namespace)
    except (ApiError, Unreachable) as error:
        if isinstance(error, ApiError) and error.status == _CONFLICT and not count:
            return  # another istiod has just made it
        log.warning("writing an Event for %s %s/%s: %s", *key, error)


def _event(key: Key, subject: Subject, severity: Severity, reason: str, message: str) -> Object:
    kind, namespace, name = key
    same = "\0".join((subject.uid, reason, message))
    digest = hashlib.blake2b(same.encode(), digest_size=8).hexdigest()
    moment = timestamp()
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{name[:_LONGEST_NAME]}.{digest}", "namespace": namespace or _OF_THE_CLUSTER},
        "involvedObject": {
            "kind": kind,
            "namespace": namespace,
            "name": name,
            "uid": subject.uid,
            "apiVersion": subject.api_version,
        },
        "type": severity,
        "reason": reason,
        "message": message,
        "source": {"component": _COMPONENT},
        "reportingComponent": _COMPONENT,
        "reportingInstance": "",
        "firstTimestamp": moment,
        "lastTimestamp": moment,
        "count": 1,
    }
