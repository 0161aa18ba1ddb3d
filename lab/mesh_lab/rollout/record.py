"""What is kept of a rollout while it is under way: an annotation on its route, which outlives a process that is killed.

It has the step, and the claim of the process that is at work. Weights and record are one write, so no kill comes
between them.
"""

from __future__ import annotations

import msgspec

from mesh_lab.client.objects import Object
from mesh_lab.errors import LabError
from mesh_lab.load.claim import Claim

ANNOTATION = "mesh-lab/rollout"


class RolloutUnderWay(LabError):  # noqa: N818 - a state of the cluster, not a fault
    """Another rollout of the route is under way; the message says which, and what to do."""


class Record(msgspec.Struct, frozen=True):
    """The rollout (its file's digest), its step, and the process at work; None once it has been interrupted."""

    digest: str
    step: int
    canary: str
    claim: Claim | None = None

    def without_claim(self) -> Record:
        """The same, left to the next process."""
        return msgspec.structs.replace(self, claim=None)


def read(route: Object) -> Record | None:
    """The record on a route; None where there is none.

    Raises:
        LabError: what is there is no record.
    """
    text = text_on(route)
    if not text:
        return None
    try:
        return msgspec.json.decode(text, type=Record)
    except msgspec.MsgspecError as error:
        kind, meta = route["kind"], route["metadata"]
        named = f"{kind.lower()} -n {meta.get('namespace', 'default')} {meta['name']}"
        raise LabError(
            f"the annotation {ANNOTATION} of {kind} {meta['name']} is no record of a rollout: {error}",
            hint=f"`kubectl annotate {named} {ANNOTATION}-` removes it.",
        ) from None


def text_on(route: Object) -> str:
    """The annotation as it stands; empty where there is none."""
    return str((route["metadata"].get("annotations") or {}).get(ANNOTATION, ""))


def unfinished(route: Object, mine: Claim) -> Record | None:
    """What a process has left that was killed or interrupted; None where nothing is left.

    Raises:
        RolloutUnderWay: a process is at work.
        LabError: what is there is no record.
    """
    found = read(route)
    if found is not None and found.claim is not None and found.claim != mine and not found.claim.over():
        raise RolloutUnderWay(
            f"a rollout to {found.canary} is under way at step {found.step} ({found.claim})",
            hint="Wait until it is done, or end that process; then --abort gives all requests to the stable version.",
        )
    return found


def resumed(route: Object, digest: str, mine: Claim) -> int | None:
    """The step at which a rollout goes on that was killed or interrupted; None for one that begins.

    Raises:
        RolloutUnderWay: a process is at work, or what was begun is another rollout.
        LabError: what is there is no record.
    """
    found = unfinished(route, mine)
    if found is None:
        return None
    if found.digest != digest:
        raise RolloutUnderWay(
            f"another rollout, to {found.canary}, was interrupted at step {found.step}",
            hint="Run it again with its own file and it goes on; --abort gives all requests to the stable version.",
        )
    return found.step


def annotated(record: Record | None) -> dict[str, str | None]:
    """The annotation as a merge patch has it; None takes it away."""
    return {ANNOTATION: None if record is None else msgspec.json.encode(record).decode()}
