"""Sets of fields and their form in `fieldsV1`."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh_lab.kube.registry.ownership.fieldsets import (
    FieldSetError,
    Path,
    field,
    holds,
    item,
    member,
    paths,
    text,
    tree,
)

_elements = st.one_of(
    st.text(alphabet="ab.:", max_size=3).map(field),
    st.dictionaries(st.sampled_from(["k", "l"]), st.sampled_from(["x", 1]), min_size=1).map(item),
    st.sampled_from(["x", 1, True]).map(member),
)
_paths = st.lists(_elements, min_size=1, max_size=4).map(tuple)


@given(st.frozensets(_paths, max_size=8))
def test_a_set_comes_back_from_its_form(found: frozenset[Path]) -> None:
    assert paths(tree(found)) == found


def test_the_form_is_kubernetes() -> None:
    container = ("f:spec", "f:containers", item({"name": "c"}))
    found = frozenset({container, (*container, "f:image"), ("f:spec", "f:replicas"), ("f:spec", "f:set", member("x"))})
    nested = tree(found)
    assert nested == {
        "f:spec": {
            "f:containers": {'k:{"name":"c"}': {".": {}, "f:image": {}}},
            "f:replicas": {},
            "f:set": {'v:"x"': {}},
        }
    }
    assert not holds(nested["f:spec"])
    assert holds(nested["f:spec"]["f:replicas"])
    assert holds(nested["f:spec"]["f:containers"]['k:{"name":"c"}'])


def test_keys_of_items_stand_in_order() -> None:
    assert item({"protocol": "TCP", "containerPort": 80}) == 'k:{"containerPort":80,"protocol":"TCP"}'


@pytest.mark.parametrize("wrong", ["x", {"f:a": 1}, {"a": {}}, {"f:a": {"x:b": {}}}, []])
def test_a_malformed_set_of_fields_is_refused(wrong: Any) -> None:
    with pytest.raises(FieldSetError):
        paths(wrong)


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        (("f:spec", "f:replicas"), ".spec.replicas"),
        (("f:spec", "f:containers", item({"name": "c"}), "f:image"), '.spec.containers[name="c"].image'),
        (("f:ports", item({"port": 80, "protocol": "TCP"})), '.ports[port=80,protocol="TCP"]'),
        (("f:set", member("x")), '.set[="x"]'),
        (("f:list", "i:3"), ".list[3]"),
    ],
)
def test_a_path_is_shown_as_in_kubernetes_messages(path: Path, shown: str) -> None:
    assert text(path) == shown
