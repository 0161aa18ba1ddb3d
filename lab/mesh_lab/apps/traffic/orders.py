"""What to send, as a JSON document: the options of `mesh-lab-app send`, with underscores."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from mesh_lab.apps.traffic.plan import CONCURRENCY_WITH_RATE, Plan

MAX_ORDER_BYTES = 256 * 1024
MAX_DEADLINE_SECONDS = 600.0
# All results of a run are kept until its end: 300 bytes each, or up to 64 KiB where parts of the answers are shown.
MAX_RESULTS = 50_000
MAX_SHOWN_RESULTS = 1_000


class BadOrder(ValueError):  # noqa: N818 - named for what it is: the caller's mistake, answered with 400
    """The document cannot be carried out; the message begins with the name of the field."""


def plan_of(document: bytes) -> Plan:
    """The plan in a document.

    Raises:
        BadOrder: it is not JSON, or a field is unknown, of another type, or out of its range.
    """
    given = fields_of(document)
    values = {name: _value(name, value) for name, value in given.items()}
    if "url" not in values:
        raise BadOrder("url: is missing")
    if values.get("rate") is not None:
        values.setdefault("concurrency", CONCURRENCY_WITH_RATE)
    if "show_header" in values:
        values["show_headers"] = values.pop("show_header")
    try:
        plan = Plan(**values)
    except ValueError as error:
        raise BadOrder(str(error)) from None
    most = MAX_SHOWN_RESULTS if plan.show_body or plan.show_headers else MAX_RESULTS
    if plan.count > most:
        raise BadOrder(f"count: {plan.count} is more than {most}, of which the results are kept")
    if plan.deadline > MAX_DEADLINE_SECONDS:
        raise BadOrder(f"deadline: {plan.deadline:g} is more than {MAX_DEADLINE_SECONDS:g} seconds")
    return plan


def fields_of(document: bytes) -> dict[str, Any]:
    """The fields of a JSON object.

    Raises:
        BadOrder: it is none.
    """
    try:
        given = json.loads(document)
    except (ValueError, RecursionError) as error:
        raise BadOrder(f"the body is not JSON: {error}") from None
    if not isinstance(given, dict):
        raise BadOrder("the body is not a JSON object")
    return given


def _value(name: str, value: object) -> Any:
    if name not in _FIELDS:
        raise BadOrder(f"{name}: there is no such field; there are {', '.join(_FIELDS)}")
    what, read = _FIELDS[name]
    try:
        return read(value)
    except TypeError:
        raise BadOrder(f"{name}: {json.dumps(value)[:80]} is not {what}") from None


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError
    return value


def _whole(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError
    return value


def _number(value: object) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise TypeError
    return float(value)


def _headers(value: object) -> Mapping[str, str]:
    if not isinstance(value, dict):
        raise TypeError
    return {_text(name).strip().lower(): _text(text) for name, text in value.items()}


def _names(value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise TypeError
    return tuple(_text(name).lower() for name in value)


_TEXT, _FLAG, _NUMBER = ("a text", _text), ("true or false", _flag), ("a number", _number)
_FIELDS: Mapping[str, tuple[str, Callable[[object], Any]]] = {
    "url": _TEXT,
    "count": ("a whole number", _whole),
    "rate": _NUMBER,
    "concurrency": ("a whole number", _whole),
    "method": ("a text", lambda value: _text(value).upper()),
    "headers": ("an object of texts", _headers),
    "body": ("a text", lambda value: _text(value).encode()),
    "timeout": _NUMBER,
    "deadline": _NUMBER,
    "http2": _FLAG,
    "new_connections": _FLAG,
    "distinct_ids": _FLAG,
    "show_body": _FLAG,
    "show_header": ("a list of texts", _names),
    "ca": _TEXT,
    "ca_pem": _TEXT,
    "certificate_pem": _TEXT,
    "insecure": _FLAG,
    "server_name": _TEXT,
    "show_certificate": _FLAG,
    "tls_version": _TEXT,
    "index_header": ("a text", lambda value: _text(value).lower()),
    "summary_only": _FLAG,
}
