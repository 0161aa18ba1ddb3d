"""The mesh's extension providers: each is read by itself, and one in error leaves the others in use."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from mesh_lab.controlplane.model.providers import BUILT_IN, ExtensionProvider
from mesh_lab.controlplane.validation.providers import provider
from mesh_lab.controlplane.world.configmaps import Remark
from mesh_lab.controlplane.world.fieldnames import renamed

FIELD = "extension_providers"


class Providers(NamedTuple):
    """Those that can be used, Istio's own among them, and remarks on all."""

    providers: tuple[ExtensionProvider, ...]
    remarks: tuple[Remark, ...]


def read(document: Any, before: Sequence[ExtensionProvider], path: str) -> Providers:
    """The providers in a list. One that cannot be read stays as it was in `before`, if it was there."""
    providers = {each.name: each for each in BUILT_IN}
    if not isinstance(document, list):
        kept = tuple(before) or BUILT_IN
        return Providers(kept, (Remark("error", path, "not a list of providers; it stays as it was"),))
    known = {each.name: each for each in before}
    remarks: list[Remark] = []
    seen: set[str] = set()
    for index, entry in enumerate(document):
        found, about = _one(entry, f"{path}[{index}]")
        remarks += about
        name = entry.get("name") if isinstance(entry, dict) else None
        if not isinstance(name, str):
            continue
        if name in seen:
            text = f"duplicate extension provider name {name}: this one holds"
            remarks.append(Remark("warning", f"{path}[{index}].name", text))
        seen.add(name)
        if found is not None:
            providers[name] = found
        elif name in known:
            providers[name] = known[name]
        else:
            providers.pop(name, None)
    return Providers(tuple(providers.values()), tuple(remarks))


def _one(entry: Any, path: str) -> tuple[ExtensionProvider | None, list[Remark]]:
    """A provider, None when it cannot be used, and remarks on it."""
    try:
        spec = msgspec.convert(renamed(entry, ExtensionProvider), ExtensionProvider, strict=False)
    except msgspec.ValidationError as failure:
        what, _, where = str(failure).partition(" - at `$")
        return None, [Remark("error", f"{path}{where.removesuffix('`')}", f"{what}; {_EFFECT}")]
    problems = list(provider(path, spec))
    is_clear = not any(problem.severity == "error" for problem in problems)
    remarks = [
        Remark(each.severity, each.path, each.message if each.severity != "error" else f"{each.message}; {_EFFECT}")
        for each in problems
    ]
    return (spec if is_clear else None), remarks


_EFFECT = "the provider stays as it was, or is not there"
