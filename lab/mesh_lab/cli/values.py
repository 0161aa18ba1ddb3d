"""Values of options and arguments: how those are read that typer has no type for, and what a shell is offered."""

from __future__ import annotations

import contextlib
import math
import re
import signal
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import typer

from mesh_lab.cli.context import Context
from mesh_lab.errors import LabError
from mesh_lab.load import limits
from mesh_lab.load.limits import Limit
from mesh_lab.meshkinds import KINDS, MeshKind, named
from mesh_lab.settings import Lab

if TYPE_CHECKING:
    from mesh_lab.client.api import Api

COMPLETION_SECONDS = 1.0
"""How long a shell waits at most for names from the cluster."""


def positive(text: str) -> float:
    """A number above 0."""
    if not 0 < (number := _number(text)) < math.inf:
        raise typer.BadParameter(f"{text!r} is not a number above 0")
    return number


def ratio(text: str) -> float:
    """A number from 0 to 1."""
    if not 0 <= (number := _number(text)) <= 1:
        raise typer.BadParameter(f"{text!r} is not a number from 0 to 1")
    return number


_TARGETS: Mapping[str, str] = {
    "http": r"https?://[^/\s]+(/\S*)?",
    "tcp": r"tcp://[^/\s]+:\d+",
    "grpc": r"grpc://[^/\s]+:\d+/[\w.]+/\w+",
}
"""The forms of a load run's target, by what is spoken there."""


def target(text: str) -> str:
    """An address that load is put on."""
    if not any(re.fullmatch(form, text) for form in _TARGETS.values()):
        raise typer.BadParameter(
            f"{text!r} is none of http://HOST[/PATH], https://HOST[/PATH], tcp://HOST:PORT, "
            "grpc://HOST:PORT/package.Service/Method"
        )
    return text


def limit(text: str) -> Limit:
    """A limit of a load run."""
    try:
        return limits.parse(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


def version_source(text: str) -> str:
    """Where a response says its version."""
    if not re.fullmatch(r"header:[A-Za-z0-9-]+|json:\$?[^\s:]+", text):
        raise typer.BadParameter(f"{text!r} is neither header:NAME nor json:PATH (as json:app.version)")
    return text


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def one_of(*values: str) -> Callable[[], list[str]]:
    """Completion of an option that takes one of these values."""
    return lambda: list(values)


def resources(typed: typer.Context, incomplete: str) -> list[str]:
    """Completion of KIND/NAME: the mesh's resources that the lab has; for a kind of which it has none, `kind/`."""
    word, slash, _ = incomplete.partition("/")
    begun = (kind for kind in KINDS if kind.acted_on and not slash)
    kinds = {kind.name.lower(): kind for kind in begun if kind.name.lower().startswith(word.lower())}
    if exact := named(word):
        kinds.setdefault(word, exact)
    found = list(_from_the_lab(typed, lambda api: _names(api, typed.params.get("namespace") or "", kinds)))
    have = {name.partition("/")[0] for name in found}
    return [*found, *(f"{kind}/" for kind in kinds if kind not in have and not slash)]


def namespaces(typed: typer.Context) -> list[str]:
    """Completion of a namespace's name."""
    return list(_from_the_lab(typed, lambda api: (obj["metadata"]["name"] for obj in api.list_all("v1", "Namespace"))))


def _names(api: Api, namespace: str, kinds: Mapping[str, MeshKind]) -> Iterator[str]:
    from mesh_lab.client.api import UnknownKindError

    for word, kind in kinds.items():
        try:
            version = api.served(kind.group, kind.name, kind.versions)
        except UnknownKindError:
            continue
        for obj in api.list_all(version, kind.name, namespace or kind.namespace):
            name = obj["metadata"]["name"]
            if not kind.only or name in kind.only:
                yield f"{word}/{name}"


def _lab(typed: typer.Context) -> Lab:
    """The lab that the options typed so far mean."""
    before = typed.find_root().params
    context = Context()
    context.name = before.get("name")
    context.directory = Path(before["directory"]) if before.get("directory") else None
    return context.lab(typed.params.get("cluster"))


class _TimeIsUp(BaseException):
    """Not an `Exception`: nothing on the way may take it for a failure that it knows what to do about."""


def _from_the_lab(typed: typer.Context, ask: Callable[[Api], Iterator[str]]) -> Iterator[str]:
    """The names that come within `COMPLETION_SECONDS`; a failure ends them without a word, as a shell expects."""
    from mesh_lab.cli.access import connect

    def end(_number: int, _frame: FrameType | None) -> None:
        raise _TimeIsUp

    before = signal.signal(signal.SIGALRM, end)
    try:
        with contextlib.suppress(LabError, OSError, _TimeIsUp):
            signal.setitimer(signal.ITIMER_REAL, COMPLETION_SECONDS)
            with connect(_lab(typed)) as api:
                yield from ask(api)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
