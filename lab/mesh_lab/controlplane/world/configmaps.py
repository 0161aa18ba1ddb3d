"""The ConfigMaps that the mesh reads: one key of each is read, and other keys are reported."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator
from typing import Any, NamedTuple

from mesh_lab.controlplane.validation.common import Severity
from mesh_lab.controlplane.world.kubernetes import Object

PARTS = ("data", "binaryData")
"""Where a ConfigMap has its keys; those that are read are in the first."""

WITHOUT_EFFECT = "has no effect in this lab"


class Remark(NamedTuple):
    """A remark on a setting: that it is wrong, or has no effect; `path` names it within the ConfigMap."""

    severity: Severity
    path: str
    message: str


def held(config_map: Object) -> dict[str, dict[str, Any]]:
    """The keys of both parts."""
    return {part: config_map.get(part) or {} for part in PARTS}


def beside(keys: dict[str, dict[str, Any]], read: str, istios: Collection[str]) -> Iterator[Remark]:
    """Remarks on what is not read: all but the key `read`. Those in `istios` have an effect in Istio."""
    others = [(part, key) for part in PARTS for key in keys[part] if (part, key) != ("data", read)]
    for part, key in others:
        if part == "data" and key in istios:
            if not _is_empty(keys[part][key]):
                yield Remark("warning", f"{part}.{key}", f"this key {WITHOUT_EFFECT}")
        elif part != "data" and key in (read, *istios):
            yield Remark("error", f"{part}.{key}", f"this key is not read here; is it data.{key}?")
        else:
            yield Remark("error", f"{part}.{key}", f"Istio reads no such key{near(key, (read, *istios))}")
    if others and read not in keys["data"]:
        yield Remark("warning", f"data.{read}", "this key is missing, so the defaults hold")


def near(name: str, known: Collection[str]) -> str:
    """A hint at the known name that may be meant, as the end of a message; empty when none is similar."""
    close = difflib.get_close_matches(name, known, 1)
    return f"; is it {close[0]}?" if close else ""


def _is_empty(text: Any) -> bool:
    """Whether a value is empty, as in `networks: {}`, which Istio's own installation writes."""
    return str(text).split() in ([], ["{}"], ["networks:", "{}"])
