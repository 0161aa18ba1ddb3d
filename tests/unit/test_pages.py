"""The pages for people who work on the house: what they name is there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = (
    "README.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "CHANGELOG.md",
    *sorted(f"docs/{p.name}" for p in ROOT.glob("docs/*.md")),
)

_LINK = re.compile(r"\[[^\]]*\]\(([^)\s#]+)(?:#[^)\s]*)?\)")
_CODE = re.compile(r"`([^`\s]+)`")
_PATH = re.compile(r"(?:\.ci|\.devcontainer|docs|images|lab|loadtests|manifests|tests|tools)(?:/[\w.-]+)+/?")
_STEP = re.compile(r"^\| \d+ \|.*?\|(?P<where>.*?)\|(?P<names>.*?)\|$", re.MULTILINE)


@pytest.mark.parametrize("page", PAGES)
def test_each_link_and_path_of_a_page_leads_somewhere(page: str) -> None:
    file = ROOT / page
    text = file.read_text(encoding="utf-8")
    linked = [file.parent / target for target in _LINK.findall(text) if "://" not in target]
    written = [ROOT / name for name in _CODE.findall(text) if _PATH.fullmatch(name)]
    assert [str(path) for path in linked + written if not path.exists()] == []


def _steps() -> Iterator[tuple[str, list[Path]]]:
    """Each name of the map's journeys, with where it is said to be."""
    page = ROOT / "docs/map.md"
    for step in _STEP.finditer(page.read_text(encoding="utf-8")):
        places = [page.parent / target for target in _LINK.findall(step["where"])]
        for name in _CODE.findall(step["names"]):
            yield name, places


@pytest.mark.parametrize(("name", "places"), [pytest.param(*step, id=step[0]) for step in _steps()])
def test_each_name_of_the_map_is_defined_where_it_says(name: str, places: list[Path]) -> None:
    """`Class.method` is a class with that method; any other name is a function or a class."""
    sources = [file for place in places for file in ([place] if place.is_file() else place.rglob("*.py"))]
    assert any(_defines(file.read_text(encoding="utf-8"), name) for file in sources)


def _defines(source: str, name: str) -> bool:
    defined, _, method = name.partition(".")
    found = re.search(rf"^(?:class|def|async def) {defined}\b", source, re.MULTILINE)
    return found is not None and (
        not method or re.search(rf"^    (?:async )?def {method}\b", source, re.MULTILINE) is not None
    )


def _tables(text: str) -> list[list[str]]:
    """The tables of a page, each as its lines: the header, the line below it, and the rows."""
    blocks = re.split(r"^(?!\|).*\n", text, flags=re.MULTILINE)
    return [block.splitlines() for block in blocks if block]


@pytest.mark.parametrize("table", _tables((ROOT / "docs/map.md").read_text(encoding="utf-8")))
def test_the_rows_of_a_table_of_the_map_have_as_many_columns_as_its_header(table: list[str]) -> None:
    header, rule, *rows = table
    assert re.fullmatch(r"\|(?:---\|)+", rule)
    assert rows
    assert [row for row in rows if _columns(row) != _columns(header)] == []


def _columns(row: str) -> int:
    """How many cells a row has; text in backticks holds no separators."""
    assert row.endswith("|"), row
    return re.sub(r"`[^`]*`", "", row).count("|") - 1


def test_the_readme_is_short() -> None:
    """What somebody needs who comes to the lab for the first time; the particulars are in docs/, and named."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(readme.splitlines()) < 200
    pages = {f"docs/{page.name}" for page in ROOT.glob("docs/*.md")}
    assert [page for page in sorted(pages) if page not in readme] == []


_TASK = re.compile(
    r"\[(?P<name>[^\]]+)\]\((?P<address>https://istio\.io/latest/docs/(?:tasks|setup|examples|ops)/[\w/-]+/)\)"
)


def _task_tables() -> list[list[str]]:
    """The tables of the page of Istio's tasks, as lists of lines."""
    return _tables((ROOT / "docs/istio-tasks.md").read_text(encoding="utf-8"))


def _task_rows() -> list[list[str]]:
    return [[cell.strip() for cell in row.strip("|").split("|")] for _, _, *rows in _task_tables() for row in rows]


@pytest.mark.parametrize("table", _task_tables())
def test_each_table_of_istios_tasks_has_the_same_three_columns(table: list[str]) -> None:
    header, rule, *rows = table
    assert (header, rule) == ("| page | here | how it differs |", "|---|---|---|")
    assert rows
    assert [row for row in rows if _columns(row) != 3] == []


@pytest.mark.parametrize("row", [pytest.param(row, id=row[0]) for row in _task_rows()])
def test_each_of_istios_tasks_says_whether_it_works_and_if_not_so_how(row: list[str]) -> None:
    """One clause: it is a table to look into, not to read."""
    page, here, how = row
    assert _TASK.fullmatch(page)
    assert here in {"works", "differs", "no"}
    if here == "works":
        assert not how or how.startswith("with ")
    else:
        assert how
    assert len(how) <= 150
    assert not how.endswith(".")


def test_each_of_istios_tasks_is_there_once() -> None:
    addresses = [found["address"] for page, _, _ in _task_rows() if (found := _TASK.fullmatch(page))]
    assert len(addresses) > 50
    assert sorted(addresses) == sorted(set(addresses))
