"""Named formats: `format.dns1123Label().validate(text)` is an optional list of what is wrong.

The module declares them without optional types, which functions of Python cannot return: `validate` returns the list,
and `format.named` a list of none or one. `mesh_lab.kube.registry.cel.rewriting` makes optional values of both.
https://kubernetes.io/docs/reference/using-api/cel/#kubernetes-format-library
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from datetime import date, datetime

from mesh_lab.kube.registry.cel.library.overloads import Opaque, Overload
from mesh_lab.kube.registry.cel.library.urls import problem as uri_problem
from mesh_lab.kube.registry.syntax import names

FORMAT = "kubernetes.NamedFormat"
_UUID = re.compile(r"[0-9a-fA-F]{8}(-?[0-9a-fA-F]{4}){3}-?[0-9a-fA-F]{12}")
_Problem = Callable[[str], str]


def _prefix(problem: _Problem) -> _Problem:
    """A check of what a generated name begins with: one hyphen may stand at its end."""
    return lambda text: problem(f"{text[:-1]}a" if len(text) > 1 and text.endswith("-") else text)


def _date_problem(text: str) -> str:
    try:
        return "" if date.fromisoformat(text).isoformat() == text else "invalid date"
    except ValueError:
        return "invalid date"


def _time_problem(text: str) -> str:
    try:
        return "" if datetime.fromisoformat(text.upper()).tzinfo and text[10] in "Tt" else "invalid datetime"
    except ValueError:
        return "invalid datetime"


def _base64_problem(text: str) -> str:
    try:
        base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return "invalid base64"
    return ""


_FORMATS: Mapping[str, _Problem] = {
    "dns1123Label": names.label_problem,
    "dns1123Subdomain": names.subdomain_problem,
    "dns1035Label": names.service_name_problem,
    "qualifiedName": names.qualified_name_problem,
    "dns1123LabelPrefix": _prefix(names.label_problem),
    "dns1123SubdomainPrefix": _prefix(names.subdomain_problem),
    "dns1035LabelPrefix": _prefix(names.service_name_problem),
    "labelValue": names.label_value_problem,
    "uri": uri_problem,
    "uuid": lambda text: "" if _UUID.fullmatch(text) else "does not match the UUID format",
    "byte": _base64_problem,
    "date": _date_problem,
    "datetime": _time_problem,
}


def _named(name: str) -> list[Opaque]:
    return [Opaque(FORMAT, name)] if name in _FORMATS else []


def _validate(of: Opaque, text: str) -> list[str]:
    problem = _FORMATS[of.text](text)
    return [problem] if problem else []


FUNCTIONS = (
    Overload("format.named", ("string",), "dyn", _named, member=False),
    Overload("validate", (FORMAT, "string"), "dyn", _validate),
    *(
        Overload(f"format.{name}", (), FORMAT, lambda name=name: Opaque(FORMAT, name), member=False)
        for name in _FORMATS
    ),
)
