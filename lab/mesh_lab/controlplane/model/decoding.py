"""From JSON to a typed spec, with the path of what does not fit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from mesh_lab.controlplane.model.base import Spec

S = TypeVar("S", bound=Spec)


class DecodeError(ValueError):
    """A resource that does not fit its type. `path` names the field (`spec.http[0].timeout`)."""

    def __init__(self, path: str, message: str) -> None:
        super().__init__(f"{path}: {message}")
        self.path = path
        self.message = message


def decode_as(kind: type[S], spec: Mapping[str, Any] | None) -> S:
    """The typed spec. Unknown fields, wrong types and values out of range raise DecodeError with the field's path."""
    try:
        return msgspec.convert({} if spec is None else spec, kind)
    except msgspec.ValidationError as error:
        message, _, path = str(error).replace(" - at `key` in `$", " (in a name) - at `$").partition(" - at `$")
        raise DecodeError("spec" + path.removesuffix("`"), message) from None
