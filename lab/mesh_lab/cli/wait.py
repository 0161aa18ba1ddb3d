"""`mesh-lab wait`: until every proxy that a resource concerns has acknowledged it, or its deletion."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from mesh_lab.cli.access import connect
from mesh_lab.cli.console import progress, say
from mesh_lab.client.api import Api
from mesh_lab.client.connection import ApiError
from mesh_lab.client.controlplane import status_of
from mesh_lab.client.meshstatus import ConfigState, Finding, MeshStatus, OwnStatus
from mesh_lab.client.objects import Reference
from mesh_lab.client.rollout import await_gone, await_live
from mesh_lab.clusters.base import Report
from mesh_lab.errors import LabError
from mesh_lab.meshkinds import INJECTOR_CONFIG_MAP, KINDS, MeshKind, named, of
from mesh_lab.settings import Lab

LIVE, DELETE = "live", "delete"
CONDITIONS = (LIVE, DELETE)
"""The values of `--for`."""
TEXT, JSON = "text", "json"
OUTPUTS = (TEXT, JSON)
_DONE = {LIVE: "live", DELETE: "gone"}

_NAMES = ", ".join(dict.fromkeys(kind.name for kind in KINDS))


@dataclass(frozen=True)
class Wanted:
    """A resource to wait for, as it was named."""

    kind: MeshKind
    namespace: str
    name: str

    @property
    def reference(self) -> Reference:
        """The resource's reference for the API, by the version that is stored as a rule."""
        return Reference(self.kind.api_version, self.kind.name, self.name, self.namespace)

    def served(self, api: Api) -> Reference:
        """The same by a version that the cluster has: what a user installs may be older.

        Raises:
            LabError: the cluster has no such kind.
        """
        version = api.served(self.kind.group, self.kind.name, self.kind.versions)
        return replace(self.reference, api_version=version)

    def __str__(self) -> str:
        return str(self.reference)


class Outcome(msgspec.Struct, frozen=True, rename="camel"):
    """The outcome for one resource: `live`, `gone`, or `failed` with the reason. Times in seconds."""

    kind: str
    namespace: str
    name: str
    outcome: str
    seconds: float
    proxies: int = 0
    findings: tuple[Finding, ...] = ()
    message: str = ""


class Waited(msgspec.Struct, frozen=True, rename="camel"):
    """What `mesh-lab wait -o json` prints. `skipped`: what a file holds besides, which no proxy acknowledges."""

    condition: str
    succeeded: bool
    resources: list[Outcome]
    skipped: list[str]


def wait(
    lab: Lab,
    references: list[str],
    files: list[Path],
    *,
    namespace: str,
    timeout: float,
    condition: str = LIVE,
    output: str = TEXT,
) -> None:
    """Wait for everything that is named.

    Raises:
        LabError: a resource is not live (or gone) in time, or never can be.
    """
    _refuse_unknown("--for", condition, CONDITIONS)
    _refuse_unknown("-o", output, OUTPUTS)
    wanted = [_parse(text, namespace) for text in references]
    skipped: list[str] = []
    for file in files:
        wanted += _in_file(file, namespace, skipped)
    if not wanted:
        raise LabError("nothing to wait for", hint="Name KIND/NAME, or a file with -f.", exit_code=2)
    deadline = time.monotonic() + timeout
    outcomes, failures = [], []
    with connect(lab) as api, progress("waiting for the proxies", quiet=output != TEXT) as report:
        status = _status(api)
        if skipped:
            report(f"not waited for, since no proxy acknowledges it: {', '.join(skipped)}")
        for each in wanted:
            started = time.monotonic()
            try:
                state = _await(each, condition, api, status, deadline, report)
            except LabError as error:
                failures.append(error)
                outcomes.append(_outcome(each, "failed", time.monotonic() - started, message=error.message))
                continue
            seconds = time.monotonic() - started
            outcomes.append(_outcome(each, _DONE[condition], seconds, state))
            report(f"{each} is gone from every proxy" if condition == DELETE else _live(each, state, seconds))
            for finding in state.findings:
                report(f"  {finding}")
    if output == JSON:
        waited = Waited(condition, not failures, outcomes, skipped)
        say(msgspec.json.format(msgspec.json.encode(waited)).decode())
    if failures:
        hints = dict.fromkeys(error.hint for error in failures if error.hint)
        raise LabError("\n".join(error.message for error in failures), hint="\n".join(hints))
    if output == TEXT:
        say(_DONE[condition])


def _await(
    wanted: Wanted, condition: str, api: Api, status: MeshStatus, deadline: float, report: Report
) -> ConfigState:
    _refuse_without_effect(wanted, status)
    if condition == DELETE:
        return await_gone(status, wanted.reference, deadline, report)
    reference = wanted.served(api)
    return await_live(status, reference, _version(api, wanted, reference), deadline, report)


def _outcome(
    wanted: Wanted, outcome: str, seconds: float, state: ConfigState | None = None, message: str = ""
) -> Outcome:
    known = state or ConfigState(found=False, live=False)
    ref = wanted.reference
    proxies = len(known.proxies) if outcome == LIVE else 0
    return Outcome(
        ref.kind, ref.namespace, ref.name, outcome, round(seconds, 3), proxies, known.findings, message=message
    )


def _refuse_unknown(option: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise LabError(f"{option} {value!r}: not known", hint=f"Known: {', '.join(known)}.", exit_code=2)


def _refuse_without_effect(wanted: Wanted, status: MeshStatus) -> None:
    """Refuse a resource that the cluster's control plane has no effect or no report for.

    Raises:
        LabError: its state cannot be waited for.
    """
    if not isinstance(status, OwnStatus) and not wanted.kind.group:
        raise LabError(f"{wanted}: Istio does not tell which proxies have its settings")
    if isinstance(status, OwnStatus) and not wanted.kind.acted_on:
        known = ", ".join(kind.name for kind in KINDS if kind.acted_on)
        raise LabError(
            f"{wanted}: not acted on: {wanted.kind.plural}.{wanted.kind.group} have no effect in this lab",
            hint=f"It acts on {known}.",
        )


def _status(api: Api) -> MeshStatus:
    try:
        return status_of(api)
    except ApiError as error:
        raise LabError(f"the cluster's API: {error.message}") from error


def _live(wanted: Wanted, state: ConfigState, seconds: float) -> str:
    if not wanted.kind.group and wanted.name == INJECTOR_CONFIG_MAP:
        return f"{wanted} is what pods are injected by from now on"
    if not state.proxies:
        return f"{wanted} concerns no proxy"
    proxies = "1 proxy" if len(state.proxies) == 1 else f"{len(state.proxies)} proxies"
    return f"{wanted} is live on {proxies} after {seconds * 1000:.0f} ms"


def _parse(text: str, namespace: str) -> Wanted:
    word, slash, name = text.partition("/")
    kind = named(word)
    if not slash or not name:
        raise LabError(f"{text!r} is not KIND/NAME", hint="For example virtualservice/reviews.", exit_code=2)
    if kind is None:
        raise LabError(
            f"{text!r}: {word} is no kind of the mesh",
            hint=f"These are: {_NAMES}. For others there is `kubectl wait`.",
            exit_code=2,
        )
    if kind.only and name not in kind.only:
        read = " and ".join(f"{word}/{each}" for each in kind.only)
        raise LabError(f"{text!r}: the mesh reads only {read}", exit_code=2)
    return Wanted(kind, namespace or kind.namespace, name)


def _in_file(file: Path, namespace: str, skipped: list[str]) -> list[Wanted]:
    """Return the mesh's resources in a manifest; what else is in it is added to `skipped`.

    Raises:
        LabError: the file cannot be read; names the file, and the line as far as YAML knows it.
    """
    import yaml

    try:
        with file.open(encoding="utf-8") as text:
            documents = [
                each
                for document in yaml.load_all(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
                for each in _members(document)
            ]
    except OSError as error:
        raise LabError(f"cannot read {file}: {error.strerror}", exit_code=2) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise LabError(f"{file} is not YAML: {error}") from error
    found = []
    for document in documents:
        wanted = _wanted(document, namespace)
        if wanted is not None:
            found.append(wanted)
        elif document is not None:
            skipped.append(_described(document))
    if not found:
        raise LabError(f"{file} holds no resource of the mesh", hint=f"Kinds of the mesh: {_NAMES}.")
    return found


def _members(document: Any) -> list[Any]:
    """The objects of a document, which may be a list of them (`kind: List`)."""
    if isinstance(document, dict) and document.get("kind") == "List" and isinstance(document.get("items"), list):
        return list(document["items"])
    return [document]


def _wanted(document: Any, namespace: str) -> Wanted | None:
    """Return what to wait for; None for a document that is no resource of the mesh."""
    if not isinstance(document, dict) or not isinstance(document.get("metadata"), dict):
        return None
    kind = of(str(document.get("apiVersion", "")), str(document.get("kind")))
    metadata = document["metadata"]
    if kind is None or (kind.only and metadata.get("name") not in kind.only):
        return None
    return Wanted(kind, str(metadata.get("namespace") or namespace or kind.namespace), str(metadata.get("name")))


def _described(document: Any) -> str:
    if not isinstance(document, dict):
        return "what is no object"
    metadata = document.get("metadata")
    name = metadata.get("name") if isinstance(metadata, dict) else None
    return f"{document.get('kind') or 'an object without kind'} {name or ''}".strip()


def _version(api: Api, wanted: Wanted, reference: Reference) -> str:
    """Return the version that is stored now.

    Raises:
        LabError: there is no such resource.
    """
    try:
        return str(api.get(reference)["metadata"]["resourceVersion"])
    except ApiError as error:
        hint = f"`kubectl get {wanted.kind.plural} -A` lists those that are." if error.code == 404 else ""
        raise LabError(f"{wanted}: {error.message}", hint=hint) from error
