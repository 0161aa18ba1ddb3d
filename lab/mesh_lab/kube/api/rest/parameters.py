"""Query parameters, and bodies of kinds that are not stored (options, evictions, scales).

Such bodies are validated by their schemas like everything that is stored, so their readers can rely on the types.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from mesh_lab import rfc3339
from mesh_lab.kube import heavy
from mesh_lab.kube.api.bodies import answers
from mesh_lab.kube.api.bodies.answers import decode as decode_body
from mesh_lab.kube.api.bodies.answers import media_type, read_body
from mesh_lab.kube.api.context import Call
from mesh_lab.kube.changes import Object
from mesh_lab.kube.errors import Cause, bad_request, invalid
from mesh_lab.kube.registry.options import DeleteOptions, FieldValidation, WriteOptions, parse_dry_run
from mesh_lab.kube.registry.writing.codec import decode_builtin, decode_kind
from mesh_lab.kube.schemas import DELETE_OPTIONS, named_schema

NOT_OLDER_THAN = "NotOlderThan"
EXACT = "Exact"
_MATCHES = ("", NOT_OLDER_THAN, EXACT)
_DELETE = "DeleteOptions"
_LONGEST_MANAGER = 128
_LENIENT = WriteOptions(field_validation=FieldValidation.IGNORE)


@dataclass(frozen=True)
class ListOptions:
    """The options of a list or watch. `revision` is None without a resourceVersion."""

    labels: str
    fields: str
    limit: int
    token: str
    revision: int | None
    match: str
    initial_events: bool | None
    bookmarks: bool
    timeout_seconds: int | None


def number(call: Call, key: str) -> int | None:
    """Parse a parameter that is a whole number, not negative.

    Raises:
        ApiError: 400, it is not.
    """
    text = call.query(key)
    if not text:
        return None
    if not text.isascii() or not text.isdecimal():
        raise bad_request(f"{key}: Invalid value: {text!r}: must be a whole number, and not negative")
    return int(text)


def moment(call: Call, key: str) -> datetime | None:
    """Parse a parameter that is a time (RFC 3339).

    Raises:
        ApiError: 400, it is not.
    """
    text = call.query(key)
    if not text:
        return None
    try:
        return rfc3339.parse(text)
    except ValueError as error:
        raise bad_request(f"{key}: Invalid value: {text!r}: must be a time such as 2024-05-06T07:08:09Z") from error


def list_options(call: Call) -> ListOptions:
    """Parse the options of a list or watch.

    Raises:
        ApiError: 400 for a malformed value, 422 for options that exclude each other.
    """
    match = call.query("resourceVersionMatch")
    if match not in _MATCHES:
        words = f'Unsupported value: "{match}": supported values: "{EXACT}", "{NOT_OLDER_THAN}"'
        raise _invalid_list("resourceVersionMatch", words, "FieldValueNotSupported")
    fields = call.query("fieldSelector")
    if call.name:
        # A GET of one object with `watch`.
        fields = ",".join(filter(None, (fields, f"metadata.name={call.name}")))
    options = ListOptions(
        labels=call.query("labelSelector"),
        fields=fields,
        limit=number(call, "limit") or 0,
        token=call.query("continue"),
        revision=number(call, "resourceVersion"),
        match=match,
        initial_events=call.flag("sendInitialEvents") if call.query("sendInitialEvents") else None,
        bookmarks=call.flag("allowWatchBookmarks"),
        timeout_seconds=number(call, "timeoutSeconds"),
    )
    _check(options, watching=call.flag("watch"))
    return options


def write_options(call: Call, repeated: tuple[str, ...] = ()) -> WriteOptions:
    """Parse the options of a create, update or patch; `repeated` are the duplicate fields of its body.

    Raises:
        ApiError: 422, an option has a value that it cannot have.
    """
    validation = call.query("fieldValidation") or FieldValidation.WARN
    if validation not in list(FieldValidation):
        words = f'Unsupported value: "{validation}": supported values: "Ignore", "Strict", "Warn"'
        raise invalid("CreateOptions", "", (Cause("fieldValidation", words, "FieldValueNotSupported"),), "meta.k8s.io")
    return WriteOptions(
        user=call.user,
        dry_run=parse_dry_run(call.request.query.getall("dryRun", [])),
        field_validation=FieldValidation(validation),
        repeated=repeated,
        field_manager=_manager(call),
        force=call.flag("force"),
        warnings=call.warnings,
    )


async def delete_options(call: Call) -> DeleteOptions:
    """Parse the options of a delete, from the body, the query, or both; the body wins.

    Raises:
        ApiError: 400 for a malformed body or value, 422 for an option with a value that it cannot have.
    """
    body: dict[str, Any] = {}
    for key in ("propagationPolicy", "orphanDependents"):
        if call.query(key):
            body[key] = call.flag(key) if key == "orphanDependents" else call.query(key)
    if (grace := number(call, "gracePeriodSeconds")) is not None:
        body["gracePeriodSeconds"] = grace
    if dry_run := call.request.query.getall("dryRun", []):
        body["dryRun"] = dry_run
    raw = await read_body(call.request)
    if raw.strip():
        given = await heavy.run(len(raw), decode_body, raw, media_type(call.request))
        if not isinstance(given, dict) or (given.get("kind") or _DELETE) != _DELETE:
            raise bad_request(f"the body of a delete must be {_DELETE}")
        body |= decode_builtin(named_schema(DELETE_OPTIONS), given, "v1", _DELETE, _LENIENT)
    return DeleteOptions.parse(body, call.user)


def _check(options: ListOptions, *, watching: bool) -> None:
    """Reject combinations that a real server rejects.

    Clients rely on it: a 422 makes them list instead of waiting.
    """
    if not watching:
        if options.initial_events is not None:
            raise _invalid_list("sendInitialEvents", "Forbidden: sendInitialEvents is forbidden for list")
        if options.match and options.revision is None:
            words = "Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided"
            raise _invalid_list("resourceVersionMatch", words)
        if options.token and options.match:
            words = "Forbidden: resourceVersionMatch is forbidden when continue is provided"
            raise _invalid_list("resourceVersionMatch", words)
        return
    if options.initial_events is not None and options.match != NOT_OLDER_THAN:
        words = "Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
        raise _invalid_list("resourceVersionMatch", words)
    if options.initial_events is None and options.match:
        words = "Forbidden: resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"
        raise _invalid_list("resourceVersionMatch", words)


def _invalid_list(field: str, words: str, reason: str = "FieldValueForbidden") -> Exception:
    return invalid("ListOptions", "", (Cause(field, words, reason),), "meta.k8s.io")


def _manager(call: Call) -> str:
    """Return the field manager of the request (`fieldManager`).

    Raises:
        ApiError: 422, it is too long or not printable.
    """
    name = call.query("fieldManager")
    if len(name.encode()) > _LONGEST_MANAGER:
        words = f"Too long: may not be more than {_LONGEST_MANAGER} bytes"
        raise invalid("PatchOptions", "", (Cause("fieldManager", words, "FieldValueTooLong"),), "meta.k8s.io")
    if not name.isprintable():
        words = f"Invalid value: {name!r}: should only contain printable characters"
        raise invalid("PatchOptions", "", (Cause("fieldManager", words),), "meta.k8s.io")
    return name or _agent(call)


def _agent(call: Call) -> str:
    """Return the field manager of a client that names none: the first word of its user agent."""
    return call.request.headers.get("User-Agent", "").partition("/")[0][:_LONGEST_MANAGER] or "unknown"


async def read_typed(call: Call, api_version: str, kind: str) -> Object:
    """Read the body as an object of the kind.

    Raises:
        ApiError: 400 when the body is another kind, 413 when it is too large, 415 for an unknown media type.
    """
    return decode_typed(call, await answers.read_object(call.request), api_version, kind)


def decode_typed(call: Call, body: Mapping[str, Any], api_version: str, kind: str) -> Object:
    """Convert a decoded body to an object of the kind.

    Raises:
        ApiError: 400, the body is of another kind.
    """
    if (found := body.get("kind") or kind) != kind:
        raise bad_request(f"the object provided is unrecognized (must be of type {kind}): Kind={found}")
    # These kinds have one version each, and older clients name those that were before it.
    return decode_kind({**body, "kind": kind, "apiVersion": api_version}, api_version, kind, write_options(call))
