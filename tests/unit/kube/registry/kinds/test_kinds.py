"""The table of kinds, and that nothing but a kind's module knows what is special to it."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from mesh_lab.kube import registry
from mesh_lab.kube.api import tables
from mesh_lab.kube.registry.kinds import BUILTIN, RESOURCES, behaviour_of
from mesh_lab.kube.resources import Resource

ROOMS = ("custom", "patching", "reading", "rules", "writing")
REGISTRY = Path(registry.__file__).parent
STEPS = [
    *(REGISTRY / f"{name}.py" for name in ("behaviour", "metadata", "registry", "table")),
    *(path for room in ROOMS for path in (REGISTRY / room).glob("*.py")),
    Path(tables.__file__),
]


@pytest.mark.parametrize("module", STEPS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_steps_that_all_kinds_take_name_none(module: Path) -> None:
    imports = [node for node in ast.walk(ast.parse(module.read_text())) if isinstance(node, ast.ImportFrom)]
    of_resources = {alias.name for node in imports if node.module == "mesh_lab.kube.resources" for alias in node.names}
    assert of_resources <= {"Resource"}
    assert not [
        node.module for node in imports if node.module and node.module.startswith(f"{registry.__name__}.kinds.")
    ]
    assert ("mesh_lab.kube", "resources") not in {(n.module, alias.name) for n in imports for alias in n.names}


def test_each_kind_stands_once_in_the_table() -> None:
    assert len({resource.key for resource in RESOURCES}) == len(RESOURCES) == len(BUILTIN)


def test_a_custom_resource_behaves_as_custom_resources_do() -> None:
    kind = behaviour_of(Resource("example.com", "v1", "widgets", "Widget"))
    assert kind.counts_generations
    assert kind.names_what_it_replaces
    assert kind.grace({}, 30) == 0
