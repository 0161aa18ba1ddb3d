"""Resource quantities: `500m`, `1Gi`, `1e3`.

https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/
"""

from __future__ import annotations

import re
from decimal import ROUND_UP, Decimal

PATTERN = "^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$"
_SYNTAX = re.compile(r"([+-]?(?:\d+(?:\.\d*)?|\.\d+))(Ki|Mi|Gi|Ti|Pi|Ei|n|u|m|k|M|G|T|P|E|[eE][+-]?\d{1,3})?", re.ASCII)
_BINARY = ("", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei")
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_SMALLEST = Decimal("1e-9")
_LARGEST = 2**63 - 1  # what is more counts as this much


def parse(text: str) -> Decimal:
    """The number that a quantity stands for.

    Raises:
        ValueError: it is none.
    """
    match = _SYNTAX.fullmatch(text)
    if match is None:
        raise ValueError(f"quantities must match the regular expression '{PATTERN}'")
    number, suffix = Decimal(match[1]), match[2] or ""
    if suffix in _BINARY:
        return number * Decimal(1024 ** _BINARY.index(suffix))
    if suffix in _DECIMAL:
        return number.scaleb(_DECIMAL[suffix])
    return number.scaleb(int(suffix[1:]))


def canonical(text: str) -> str:
    """The quantity as a server writes it: no fraction, the largest suffix of the same family (`0.5` is `500m`).

    Raises:
        ValueError: it is no quantity.
    """
    value = parse(text)
    if abs(value) > _LARGEST:
        return str(_LARGEST if value > 0 else -_LARGEST)
    if "." in text or text[-1] in "num":
        value = value.quantize(_SMALLEST, ROUND_UP)
    if text[-1] == "i" and value == value.to_integral_value() and abs(value) >= 1024:
        whole, power = int(value), 0
        while whole % 1024 == 0 and whole and power < len(_BINARY) - 1:
            whole, power = whole // 1024, power + 1
        return f"{whole}{_BINARY[power]}"
    if re.search(r"[eE][+-]?\d", text):
        return text
    for suffix, exponent in reversed(_DECIMAL.items()):
        scaled = value.scaleb(-exponent)
        if scaled == scaled.to_integral_value() and (scaled or not exponent):
            return f"{int(scaled)}{suffix}"
    return text
