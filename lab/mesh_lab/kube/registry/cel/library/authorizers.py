"""The authorizer: `authorizer.group("apps").resource("deployments").namespace("x").check("create").allowed()`.

What is asked stands in the values, as JSON. Who decides is set for the time of an evaluation: `DECIDE`.
https://kubernetes.io/docs/reference/using-api/cel/#kubernetes-authorizer-library
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any

from mesh_lab.kube.registry.cel.library.overloads import Opaque, Overload

_PACKAGE = "kubernetes.authorization."
AUTHORIZER = f"{_PACKAGE}Authorizer"
_PATH = f"{_PACKAGE}PathCheck"
_GROUP = f"{_PACKAGE}GroupCheck"
RESOURCE = f"{_PACKAGE}ResourceCheck"
_DECISION = f"{_PACKAGE}Decision"
TYPES = (AUTHORIZER, _PATH, _GROUP, RESOURCE, _DECISION)

Decide = Callable[[Mapping[str, Any]], tuple[bool, str]]
"""Whether what is asked is allowed, and why. What is asked: `user`, `verb`, and `path` or the fields of a resource."""
DECIDE: ContextVar[Decide] = ContextVar("decide")


def asked(kind: str, **fields: Any) -> Opaque:
    """A value of one of the types."""
    return Opaque(kind, json.dumps(fields, sort_keys=True))


def _narrowed(value: Opaque, kind: str, **fields: Any) -> Opaque:
    return asked(kind, **{**json.loads(value.text), **fields})


def _service_account(value: Opaque, namespace: str, name: str) -> Opaque:
    user = {
        "username": f"system:serviceaccount:{namespace}:{name}",
        "groups": ["system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated"],
    }
    return _narrowed(value, AUTHORIZER, user=user)


def _path(value: Opaque, path: str) -> Opaque:
    if not path:
        raise ValueError("path must not be empty")
    return _narrowed(value, _PATH, path=path)


def _check(value: Opaque, verb: str) -> Opaque:
    allowed, reason = DECIDE.get()({**json.loads(value.text), "verb": verb})
    return asked(_DECISION, allowed=allowed, reason=reason)


def _of(field: str) -> Callable[[Opaque], Any]:
    return lambda decision: json.loads(decision.text)[field]


FUNCTIONS = (
    Overload("serviceAccount", (AUTHORIZER, "string", "string"), AUTHORIZER, _service_account),
    Overload("path", (AUTHORIZER, "string"), _PATH, _path),
    Overload("group", (AUTHORIZER, "string"), _GROUP, lambda value, group: _narrowed(value, _GROUP, group=group)),
    Overload("resource", (_GROUP, "string"), RESOURCE, lambda value, name: _narrowed(value, RESOURCE, resource=name)),
    Overload(
        "subresource", (RESOURCE, "string"), RESOURCE, lambda value, name: _narrowed(value, RESOURCE, subresource=name)
    ),
    Overload(
        "namespace", (RESOURCE, "string"), RESOURCE, lambda value, name: _narrowed(value, RESOURCE, namespace=name)
    ),
    Overload("name", (RESOURCE, "string"), RESOURCE, lambda value, name: _narrowed(value, RESOURCE, name=name)),
    *(Overload("check", (kind, "string"), _DECISION, _check) for kind in (_PATH, RESOURCE)),
    Overload("allowed", (_DECISION,), "bool", _of("allowed")),
    Overload("reason", (_DECISION,), "string", _of("reason")),
    # Whoever decides here reads memory: it does not fail.
    Overload("errored", (_DECISION,), "bool", lambda _: False),
    Overload("error", (_DECISION,), "string", lambda _: ""),
)
