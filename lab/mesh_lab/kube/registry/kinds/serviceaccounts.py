"""ServiceAccounts."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from mesh_lab.kube.registry.behaviour import READ, WRITE, Behaviour, Grant
from mesh_lab.kube.registry.printing.columns import AGE, NAME, Cells, Column, Printer, age, items, name
from mesh_lab.kube.resources import SERVICEACCOUNTS


def _row(obj: Mapping[str, Any], now: datetime) -> Cells:
    return [name(obj), len(items(obj, "secrets")), age(obj, now)]


BEHAVIOUR = Behaviour(
    SERVICEACCOUNTS,
    answers_with_last_state=True,
    grants=(
        Grant("view", READ),
        Grant("edit", WRITE),
        Grant("edit", ("impersonate",)),
        Grant("edit", ("create",), ("token",)),
    ),
    printer=Printer((NAME, Column("Secrets"), AGE), _row),
    zero_counts=frozenset({"automountServiceAccountToken", "expirationSeconds"}),
)
