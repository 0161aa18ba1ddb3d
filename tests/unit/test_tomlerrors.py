"""What is wrong in a TOML file, told with file, line and field."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated

import msgspec
import pytest

from mesh_lab.tomlerrors import Source, dotted


class Part(msgspec.Struct, forbid_unknown_fields=True):
    size: int = 0
    parts: dict[str, int] = {}


class Whole(msgspec.Struct, forbid_unknown_fields=True):
    table: dict[Annotated[str, msgspec.Meta(max_length=5)], Part] = {}
    items: list[dict[str, Part]] = []


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[table.a]\nsize = 1\n[table.b]\nsize = 'x'", "f:4: table.b.size: Expected `int`, got `str`"),
        ("[table.a]\nsize = 1\n[table.'b.c'.parts]\nx = 1\ny = []", 'f:5: table."b.c".parts.y: Expected `int`'),
        ("[table.toolong]\n", "f:1: table.toolong: Expected `str` of length <= 5"),
        ("[table.size]\nsiez = 1\n", "f:2: table.size.siez: no such setting; is it size?"),
        ("items = [{a = {size = 1}, b = {size = ''}}]", "f:1: items[0].b.size: Expected `int`"),
        ("tables = 1", "f:1: tables: no such setting; is it table?"),
    ],
)
def test_the_entry_of_a_table_is_named(text: str, told: str) -> None:
    document = tomllib.loads(text)
    with pytest.raises(msgspec.ValidationError) as failure:
        msgspec.convert(document, Whole)
    assert Source(Path("f"), text).explain(document, Whole, str(failure.value)).startswith(told)


def test_a_field_that_the_file_does_not_say_has_no_line() -> None:
    source = Source(Path("f"), "[a]\nb = 1\n", overruled=frozenset({("a", "b")}))
    assert source.place("c", "d") == "c.d"
    assert source.place("a", "b") == "a.b", "its value comes from elsewhere"
    assert Source(Path("f"), source.text).place("a", "b") == "f:2: a.b"


def test_a_key_with_a_dot_is_quoted() -> None:
    assert dotted(["a", "b.c", "[0]", "d"]) == 'a."b.c"[0].d'
