"""Resource quantities."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh_lab.kube.registry.syntax.quantities import canonical, parse


@pytest.mark.parametrize(
    ("text", "value", "written"),
    [
        ("1", "1", "1"),
        ("0", "0", "0"),
        ("500m", "0.5", "500m"),
        ("0.5", "0.5", "500m"),
        ("1000m", "1", "1"),
        ("1.5", "1.5", "1500m"),
        ("2000", "2000", "2k"),
        ("1Gi", "1073741824", "1Gi"),
        ("1024Mi", "1073741824", "1Gi"),
        ("1500Mi", "1572864000", "1500Mi"),
        ("0.5Gi", "536870912", "512Mi"),
        ("1e3", "1000", "1e3"),
        ("1E", "1000000000000000000", "1E"),
        ("-1k", "-1000", "-1k"),
        ("0.0000000001", "0.0000000001", "1n"),
    ],
)
def test_quantities_are_read_and_written_canonically(text: str, value: str, written: str) -> None:
    assert parse(text) == Decimal(value)
    assert canonical(text) == written


@pytest.mark.parametrize(
    "text", ["1.8446744073709552e+19", "1e300", "9223372036854775808", "99999999999999999999.5", "9Ei"]
)
def test_there_is_a_largest_quantity(text: str) -> None:
    assert canonical(text) == "9223372036854775807"
    assert canonical(f"-{text}") == "-9223372036854775807"


@given(st.text(alphabet="0123456789.+-eEmkKMGi", max_size=12))
def test_a_text_is_a_quantity_or_refused(text: str) -> None:
    try:
        written = canonical(text)
    except ValueError:
        return
    assert canonical(written) == written


@pytest.mark.parametrize("text", ["", "a", "1 Gi", "1gi", "Gi", "1.2.3", "--1", "1kk", "0x10"])
def test_an_invalid_quantity_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="quantities must match"):
        canonical(text)


@given(
    st.integers(0, 10**6),
    st.integers(0, 999),
    st.sampled_from(["", "m", "k", "M", "G", "Ki", "Mi", "Gi"]),
)
def test_the_canonical_form_means_the_same_and_is_its_own(whole: int, fraction: int, suffix: str) -> None:
    text = f"{whole}.{fraction:03}{suffix}" if fraction and suffix != "m" else f"{whole}{suffix}"
    assert parse(canonical(text)) == parse(text)
    assert canonical(canonical(text)) == canonical(text)
