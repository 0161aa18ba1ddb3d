"""What expressions of admission policies and webhook configurations read.

https://kubernetes.io/docs/reference/access-authn-authz/validating-admission-policy/#validation-expression
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from mesh_lab.kube.registry.cel.declared import Declared
from mesh_lab.kube.registry.cel.expressions import Checker, CompileError, EvaluationError, as_data, program
from mesh_lab.kube.registry.cel.library.authorizers import AUTHORIZER, DECIDE, RESOURCE, Decide, asked
from mesh_lab.kube.registry.cel.messages import Messages
from mesh_lab.kube.registry.cel.values import FormatError, whole

_TEXT = Declared("string")
_ANY = Declared("dyn")
_TEXTS = Declared("list", element=_TEXT)


def _object(**fields: Declared) -> Declared:
    return Declared("object", fields=fields)


def _names(*names: str) -> Declared:
    return _object(**dict.fromkeys(names, _TEXT))


_KIND, _RESOURCE = _names("group", "version", "kind"), _names("group", "version", "resource")
_REQUEST = _object(
    kind=_KIND,
    resource=_RESOURCE,
    subResource=_TEXT,
    requestKind=_KIND,
    requestResource=_RESOURCE,
    requestSubResource=_TEXT,
    name=_TEXT,
    # CEL reserves the word.
    __namespace__=_TEXT,
    operation=_TEXT,
    userInfo=_object(username=_TEXT, uid=_TEXT, groups=_TEXTS, extra=Declared("map", element=_TEXTS)),
    dryRun=Declared("bool"),
    options=_ANY,
)
_LABELS = Declared("map", element=_TEXT)
_TIME = Declared("timestamp")
_NAMESPACE = _object(
    metadata=_object(
        name=_TEXT,
        generateName=_TEXT,
        __namespace__=_TEXT,
        labels=_LABELS,
        annotations=_LABELS,
        UID=_TEXT,
        creationTimestamp=_TIME,
        deletionGracePeriodSeconds=Declared("int"),
        deletionTimestamp=_TIME,
        generation=Declared("int"),
        resourceVersion=_TEXT,
        finalizers=_TEXTS,
    ),
    spec=_object(finalizers=_TEXTS),
    status=_object(phase=_TEXT),
)


class AdmissionChecker:
    """Checks the expressions of one policy, or of a webhook's conditions (`of_policy` False).

    Variables are declared one after the other, with the types that their expressions have.
    """

    def __init__(self, *, of_policy: bool, params: bool = False) -> None:
        self._messages = Messages()
        self._variables = {
            "object": "dyn",
            "oldObject": "dyn",
            "request": self._messages.type_of(_REQUEST),
            "authorizer": AUTHORIZER,
            "authorizer.requestResource": RESOURCE,
        }
        if of_policy:
            self._variables["namespaceObject"] = self._messages.type_of(_NAMESPACE)
        if params:
            self._variables["params"] = "dyn"
        self._made: Checker | None = None

    def check(self, text: str) -> str:
        """The type of an expression.

        Raises:
            CompileError: it does not compile.
        """
        if self._made is None:
            self._made = Checker(self._variables, self._messages.file)
        return self._made.check(text)

    def declare(self, name: str) -> None:
        """Let the expressions after this one read `variables.name`."""
        self._variables[f"variables.{name}"] = "dyn"
        self._made = None


@dataclass(frozen=True)
class Input:
    """What the expressions about one request read, and who answers what they ask the authorizer."""

    data: Mapping[str, Any]
    decide: Decide

    @classmethod
    def of(
        cls,
        request: Mapping[str, Any],
        decide: Decide,
        namespace: Mapping[str, Any] | None = None,
    ) -> Input:
        """What expressions read of the `request` of an AdmissionReview.

        Raises:
            EvaluationError: a text in it cannot be handed to an expression.
        """
        shown = {key: value for key, value in request.items() if key not in ("object", "oldObject", "uid", "namespace")}
        if "namespace" in request:
            shown["__namespace__"] = request["namespace"]
        resource, user = request["resource"], request["userInfo"]
        about = {
            "user": user,
            "group": resource["group"],
            "resource": resource["resource"],
            "subresource": request.get("subResource", ""),
            "namespace": request.get("namespace", ""),
            "name": request.get("name", ""),
        }
        data = {
            "object": request.get("object"),
            "oldObject": request.get("oldObject"),
            "request": {key: value for key, value in shown.items() if value is not None},
            "namespaceObject": _shown_namespace(namespace),
        }
        try:
            whole(data)
        except FormatError as error:
            raise EvaluationError(str(error)) from error
        asking = {"authorizer": asked(AUTHORIZER, user=user), "authorizer__requestResource": asked(RESOURCE, **about)}
        return cls({**data, **asking}, decide)

    def with_params(self, params: Mapping[str, Any] | None) -> Input:
        """The same with the parameters of a binding."""
        return Input({**self.data, "params": params}, self.decide)


class Evaluation:
    """Expressions about one input. Variables are evaluated when an expression reads them, and once."""

    def __init__(self, given: Input, variables: Mapping[str, str] | None = None) -> None:
        self._given = given
        self._texts = variables or {}
        self._order = tuple(self._texts)
        self._values: dict[str, Any] = {}
        self._failed: dict[str, EvaluationError] = {}

    def evaluate(self, text: str) -> Any:
        """The value of an expression.

        Raises:
            EvaluationError: it has none; the text names the expression.
        """
        with _deciding(self._given.decide):
            try:
                return self._value(text, len(self._order))
            except (CompileError, EvaluationError) as error:
                raise EvaluationError(f"expression '{text}' resulted in error: {error}") from error

    def _value(self, text: str, visible: int) -> Any:
        """The value of an expression that may read the first `visible` variables."""
        compiled = program(text)
        for place, name in enumerate(self._order[:visible]):
            if f"variables.{name}" in compiled.reads or "variables" in compiled.bare:
                self._settle(place, name)
        try:
            return compiled.evaluate({**self._given.data, "variables": self._values})
        except EvaluationError as error:
            # An expression may do without a variable that failed; when it cannot, that is why.
            missing = str(error).removeprefix("no such key: ")
            raise self._failed.get(missing, error) from error

    def _settle(self, place: int, name: str) -> None:
        if name in self._values or name in self._failed:
            return
        try:
            self._values[name] = as_data(self._value(self._texts[name], place))
        except (CompileError, EvaluationError) as error:
            self._failed[name] = EvaluationError(f'composited variable "{name}" fails to evaluate: {error}')


def conditions_hold(conditions: Iterable[Mapping[str, Any]], evaluation: Evaluation) -> bool:
    """Whether all match conditions hold. One that does not counts more than one that has no value.

    Raises:
        EvaluationError: none is false, and one has no value.
    """
    failed = None
    for condition in conditions:
        try:
            if evaluation.evaluate(condition["expression"]) is not True:
                return False
        except EvaluationError as error:
            failed = failed or error
    if failed is not None:
        raise failed
    return True


@contextmanager
def _deciding(decide: Decide) -> Iterator[None]:
    token = DECIDE.set(decide)
    try:
        yield
    finally:
        DECIDE.reset(token)


def _shown_namespace(namespace: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """The fields of a namespace that expressions get to see, under their names there."""
    if namespace is None:
        return None
    metadata = namespace.get("metadata") or {}
    seen = _NAMESPACE.fields["metadata"].fields
    shown = {name: metadata[name] for name in seen if name in metadata}
    if "uid" in metadata:
        shown["UID"] = metadata["uid"]
    return {
        "metadata": shown,
        "spec": {"finalizers": (namespace.get("spec") or {}).get("finalizers", [])},
        "status": {"phase": (namespace.get("status") or {}).get("phase", "")},
    }
