"""Rules that compare with the state before: how `oldSelf` reaches an expression."""

from __future__ import annotations

from mesh_lab.kube.schemas import Validation

OLD = "oldSelf"
_VALUE = "oldSelf__value"
_PRESENT = "oldSelf__present"
OPTIONAL_PREFIX = f"cel.bind({OLD}, {_PRESENT} ? optional.of({_VALUE}) : optional.none(),"
"""Makes `oldSelf` an optional value, which cannot be handed in."""


def text_of(validation: Validation, text: str) -> str:
    """An expression of a rule as it is evaluated."""
    return f"{OPTIONAL_PREFIX}\n{text}\n)" if validation.optional_old_self else text


def data_of(validation: Validation, old: object) -> dict[str, object]:
    """What `oldSelf` is made of; `old` is None where there is no state before."""
    if validation.optional_old_self:
        return {_PRESENT: old is not None, _VALUE: old}
    return {OLD: old}
