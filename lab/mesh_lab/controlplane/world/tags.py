"""Revisions and their tags: names under which namespaces and pods ask for a control plane's injector.

https://istio.io/latest/docs/setup/upgrade/canary/#stable-revision-labels
"""

from __future__ import annotations

from dataclasses import dataclass

from mesh_lab.controlplane.world.kubernetes import Object, Origin, origin_of

REVISION = "default"
"""The lab's one revision."""
REVISION_LABEL = "istio.io/rev"
_TAG_LABEL = "istio.io/tag"


@dataclass(frozen=True, eq=False)
class Tag:
    """A tag of the lab's revision."""

    origin: Origin
    name: str


def tag(obj: Object) -> Tag | None:
    """The tag that a MutatingWebhookConfiguration makes; None of any other, or of another revision's."""
    labels = obj["metadata"].get("labels") or {}
    if labels.get(REVISION_LABEL) != REVISION or not labels.get(_TAG_LABEL):
        return None
    return Tag(origin_of("MutatingWebhookConfiguration", obj), labels[_TAG_LABEL])
