"""Quantities: `quantity("1.5Gi")` and what can be asked of it.

https://kubernetes.io/docs/reference/using-api/cel/#kubernetes-quantity-library
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

from mesh_lab.kube.registry.cel.library.overloads import Opaque, Overload
from mesh_lab.kube.registry.syntax import quantities

QUANTITY = "kubernetes.Quantity"
_INT = 2**63


def _is_quantity(text: str) -> bool:
    try:
        quantities.parse(text)
    except ValueError:
        return False
    return True


def number(quantity: Opaque) -> Decimal:
    """The number that a quantity is."""
    return Decimal(quantity.text)


def _quantity(value: Decimal | str) -> Opaque:
    parsed = quantities.parse(value) if isinstance(value, str) else value
    return Opaque(QUANTITY, str(parsed.normalize() + 0))


def _as_integer(quantity: Opaque) -> int:
    value = number(quantity)
    if not _is_integer(quantity):
        raise ValueError("cannot convert value to integer")
    return int(value)


def _is_integer(quantity: Opaque) -> bool:
    value = number(quantity)
    return value == value.to_integral_value() and -_INT <= value < _INT


def _sign(quantity: Opaque) -> int:
    value = number(quantity)
    return (value > 0) - (value < 0)


def _moved(by: int) -> Callable[[Opaque, Opaque | int], Opaque]:
    def moved(quantity: Opaque, other: Opaque | int) -> Opaque:
        return _quantity(number(quantity) + by * (other if isinstance(other, int) else number(other)))

    return moved


FUNCTIONS = (
    Overload("quantity", ("string",), QUANTITY, _quantity, member=False),
    Overload("isQuantity", ("string",), "bool", _is_quantity, member=False),
    Overload("sign", (QUANTITY,), "int", _sign),
    Overload("isInteger", (QUANTITY,), "bool", _is_integer),
    Overload("asInteger", (QUANTITY,), "int", _as_integer),
    Overload("asApproximateFloat", (QUANTITY,), "double", lambda quantity: float(number(quantity))),
    *(
        Overload(name, (QUANTITY, other), QUANTITY, _moved(by))
        for name, by in (("add", 1), ("sub", -1))
        for other in (QUANTITY, "int")
    ),
)
