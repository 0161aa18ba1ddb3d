"""`[mesh] dialects` of lab.toml: which lists of vocabularies a mesh can have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

from mesh_lab.errors import LabError
from mesh_lab.meshkinds import DEFAULT_DIALECTS, DIALECTS

DialectName = Literal["istio", "gateway", "consul"]
VARIABLE = "MESH_LAB_DIALECTS"


def from_environment(names: str) -> tuple[DialectName, ...]:
    """The dialects that the variable names, with commas between them.

    Raises:
        LabError: there is none of that name.
    """
    try:
        return msgspec.convert([name.strip() for name in names.split(",")], tuple[DialectName, ...])
    except msgspec.ValidationError:
        raise LabError(
            f"{VARIABLE}: unknown dialect in {names!r}", hint=f"Known: {', '.join(DIALECTS)}.", exit_code=2
        ) from None


def refuse_wrong(dialects: Sequence[str], cluster: str, where: str) -> None:
    """Refuse a list that no mesh can have, or that is for another than the embedded cluster's; `where` it stands.

    Raises:
        LabError: it is such a list.
    """
    if "istio" not in dialects:
        raise LabError(f"{where}: `istio` is missing: the settings of the mesh are in its words only")
    if len(set(dialects)) < len(dialects):
        raise LabError(f"{where}: a name is there twice")
    if set(dialects) != set(DEFAULT_DIALECTS) and cluster != "embedded":
        raise LabError(f"{where}: for the embedded cluster", hint="Elsewhere the mesh is Istio's own.", exit_code=2)
