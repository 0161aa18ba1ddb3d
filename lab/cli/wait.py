"""`mesh-lab wait`: until every proxy that a resource concerns has acknowledged it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lab.cli.access import connect, kubectl_for
from lab.cli.console import progress, say
from lab.errors import LabError
from lab.install.api import Api, RequestError
from lab.install.controlplane import status_of
from lab.install.istiod import ConfigState, MeshStatus, Reference, await_config
from lab.settings import Lab

_NETWORKING = "networking.istio.io/v1"
_SECURITY = "security.istio.io/v1"
KINDS = {
    "VirtualService": (_NETWORKING, "virtualservices", ("vs",)),
    "DestinationRule": (_NETWORKING, "destinationrules", ("dr",)),
    "Gateway": (_NETWORKING, "gateways", ("gw",)),
    "Sidecar": (_NETWORKING, "sidecars", ()),
    "PeerAuthentication": (_SECURITY, "peerauthentications", ("pa",)),
    "AuthorizationPolicy": (_SECURITY, "authorizationpolicies", ("ap",)),
}
"""The mesh's resources: API version, plural and short names."""

_KIND_OF = {
    word: kind
    for kind, (_, plural, short) in KINDS.items()
    for word in (kind.lower(), plural, *short, f"{plural}.{_NETWORKING.partition('/')[0]}")
}


def wait(lab: Lab, references: list[str], files: list[Path], *, namespace: str, timeout: float) -> None:
    """Wait for everything that is named. Raises `LabError` for what is not live in time, or cannot be."""
    wanted = [_parse(text, namespace) for text in references]
    for file in files:
        wanted += _in_file(file, namespace)
    if not wanted:
        raise LabError("nothing to wait for", hint="Name KIND/NAME, or a file with -f.", exit_code=2)
    deadline = time.monotonic() + timeout
    failures = []
    with connect(lab) as api, progress("waiting for the proxies") as report, _status(lab, api) as status:
        for reference in wanted:
            started = time.monotonic()
            try:
                state = await_config(status, _with_version(api, reference), deadline, report)
            except LabError as error:
                failures.append(error)
            else:
                report(_live(reference, state, time.monotonic() - started))
                for finding in state.findings:
                    report(f"  {finding}")
    if failures:
        hints = dict.fromkeys(error.hint for error in failures if error.hint)
        raise LabError("\n".join(error.message for error in failures), hint="\n".join(hints))
    say("live")


@contextlib.contextmanager
def _status(lab: Lab, api: Api) -> Iterator[MeshStatus]:
    with contextlib.ExitStack() as stack:
        try:
            status = stack.enter_context(status_of(api, kubectl_for(lab)))
        except RequestError as error:
            raise LabError(f"the cluster's API: {error.message}") from error
        yield status


def _live(reference: Reference, state: ConfigState, seconds: float) -> str:
    if not state.proxies:
        return f"{reference} concerns no proxy"
    return f"{reference} is live on {len(state.proxies)} proxies after {seconds * 1000:.0f} ms"


def _parse(text: str, namespace: str) -> Reference:
    word, slash, name = text.partition("/")
    kind = _KIND_OF.get(word.lower())
    if not slash or not name:
        raise LabError(f"{text!r} is not KIND/NAME", hint="For example virtualservice/reviews.", exit_code=2)
    if kind is None:
        raise LabError(
            f"{text!r}: no proxy ever acknowledges a {word}",
            hint=f"Kinds of the mesh: {', '.join(KINDS)}. For others there is `kubectl wait`.",
            exit_code=2,
        )
    return Reference(kind, namespace, name)


def _in_file(file: Path, namespace: str) -> list[Reference]:
    """The mesh's resources in a manifest. Raises `LabError` naming the file, and the line as far as YAML knows it."""
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
    found = [_reference(document, namespace) for document in documents if _concerns_mesh(document)]
    if not found:
        raise LabError(f"{file} holds no resource of the mesh", hint=f"Kinds of the mesh: {', '.join(KINDS)}.")
    return found


def _members(document: Any) -> list[Any]:
    """The objects of a document, which may be a list of them (`kind: List`)."""
    if isinstance(document, dict) and document.get("kind") == "List" and isinstance(document.get("items"), list):
        return list(document["items"])
    return [document]


def _concerns_mesh(document: Any) -> bool:
    if not isinstance(document, dict):
        return False
    group = str(document.get("apiVersion", "")).partition("/")[0]
    known = KINDS.get(str(document.get("kind")))
    return known is not None and known[0].partition("/")[0] == group and isinstance(document.get("metadata"), dict)


def _reference(document: dict[str, Any], namespace: str) -> Reference:
    metadata = document["metadata"]
    return Reference(str(document["kind"]), str(metadata.get("namespace") or namespace), str(metadata.get("name")))


def _with_version(api: Api, reference: Reference) -> Reference:
    """The reference with the version that is stored now. Raises `LabError` when there is no such resource."""
    version, plural, _ = KINDS[reference.kind]
    path = f"/apis/{version}/namespaces/{reference.namespace}/{plural}/{reference.name}"
    try:
        stored = api.get(path)
    except RequestError as error:
        raise LabError(f"{reference}: {error.message}") from error
    return Reference(reference.kind, reference.namespace, reference.name, stored["metadata"]["resourceVersion"])
