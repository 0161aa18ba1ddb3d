"""Selectors as kubectl writes them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh_lab.kube.errors import ApiError
from mesh_lab.kube.registry.reading.reader import field_reader
from mesh_lab.kube.registry.syntax.selectors import LabelSelector, Requirement, parse_fields, parse_labels
from mesh_lab.kube.resources import CONFIGMAPS, EVENTS, NODES, PODS


@pytest.mark.parametrize(
    ("text", "labels", "selected"),
    [
        ("", {}, True),
        ("app=web", {"app": "web"}, True),
        ("app==web", {"app": "db"}, False),
        ("app!=web", {"app": "db"}, True),
        ("app!=web", {}, True),
        ("app", {"app": ""}, True),
        ("!app", {"app": "web"}, False),
        ("!app", {}, True),
        ("tier in (a, b)", {"tier": "b"}, True),
        ("tier in (a,b)", {}, False),
        ("tier notin (a,b)", {"tier": "c"}, True),
        ("tier notin (a,b)", {}, True),
        ("app=web,tier in (a,b),!old", {"app": "web", "tier": "a"}, True),
        ("app=web,tier in (a,b),!old", {"app": "web", "tier": "a", "old": ""}, False),
        ("app=", {"app": ""}, True),
        ("app in ()", {"app": ""}, True),
        ("n>5", {"n": "6"}, True),
        ("n<5", {"n": "6"}, False),
        ("n>5", {"n": "many"}, False),
        ("example.com/app = web", {"example.com/app": "web"}, True),
    ],
)
def test_labels_are_selected(text: str, labels: dict[str, str], selected: bool) -> None:
    assert parse_labels(text).matches(labels) is selected


@pytest.mark.parametrize(
    "text",
    ["app=web,", "=web", "app in a", "app in (a", "a b", "app=-", "-app", "n>x", "app in (a b)", ",", "(a)", "!"],
)
def test_malformed_label_selectors_are_refused(text: str) -> None:
    with pytest.raises(ApiError, match="unable to parse requirement") as caught:
        parse_labels(text)
    assert caught.value.code == 400


KEYS = st.from_regex(r"([a-z]{1,5}\.example/)?[A-Za-z][A-Za-z0-9]{0,5}", fullmatch=True)
VALUES = st.from_regex(r"([a-z0-9]([-a-z0-9.]{0,4}[a-z0-9])?)?", fullmatch=True)
REQUIREMENTS = st.one_of(
    st.builds(
        Requirement, KEYS, st.sampled_from(["in", "notin"]), st.frozensets(VALUES.filter(bool), min_size=1, max_size=3)
    ),
    st.builds(Requirement, KEYS, st.sampled_from(["exists", "!"])),
    st.builds(
        Requirement, KEYS, st.sampled_from(["gt", "lt"]), st.integers(0, 10**9).map(lambda n: frozenset([str(n)]))
    ),
)


@given(st.lists(REQUIREMENTS, max_size=4))
def test_a_selector_is_read_as_it_is_written(requirements: list[Requirement]) -> None:
    selector = LabelSelector(tuple(requirements))
    assert parse_labels(str(selector)) == selector


@given(REQUIREMENTS, st.dictionaries(KEYS, VALUES, max_size=3))
def test_a_requirement_and_its_opposite_never_agree(one: Requirement, labels: dict[str, str]) -> None:
    opposites = {"in": "notin", "notin": "in", "exists": "!", "!": "exists"}
    if one.operator in opposites:
        other = Requirement(one.key, opposites[one.operator], one.values)
        assert one.matches(labels) is not other.matches(labels)


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("", ()),
        ("metadata.name=a", (("metadata.name", True, "a"),)),
        ("status.phase!=Running,metadata.name==b", (("status.phase", False, "Running"), ("metadata.name", True, "b"))),
        (r"reason=a\,b\=c\\", (("reason", True, "a,b=c\\"),)),
        ("type=", (("type", True, ""),)),
    ],
)
def test_field_selectors_are_read(text: str, terms: tuple[tuple[str, bool, str], ...]) -> None:
    assert parse_fields(text).terms == terms


def test_a_field_selector_without_an_operator_is_refused() -> None:
    with pytest.raises(ApiError, match=r"can't understand 'metadata\.name'"):
        parse_fields("metadata.name")


def test_fields_read_as_text_and_have_zero_values() -> None:
    node = {"metadata": {"name": "lab"}, "spec": {}}
    selector = parse_fields("spec.unschedulable=false,metadata.name=lab")
    assert selector.matches(node, field_reader(NODES, selector))
    assert not selector.matches({**node, "spec": {"unschedulable": True}}, field_reader(NODES, selector))
    event = {"metadata": {}, "source": {"component": "kubelet"}, "involvedObject": {"name": "p"}}
    selector = parse_fields("source=kubelet,involvedObject.name=p,reason!=x")
    assert selector.matches(event, field_reader(EVENTS, selector))


def test_a_field_that_cannot_be_selected_by_is_named() -> None:
    with pytest.raises(ApiError, match=r"^field label not supported: spec\.image$") as caught:
        field_reader(PODS, parse_fields("spec.image=x"))
    assert caught.value.code == 400
    selector = parse_fields("data.x=y")
    with pytest.raises(ApiError):
        field_reader(CONFIGMAPS, selector)
    assert field_reader(CONFIGMAPS, selector, ("data.x",))({"data": {"x": "y"}}, "data.x") == "y"


def test_a_selector_of_more_than_a_thousand_requirements_is_refused() -> None:
    many = ",".join(f"!k{number}" for number in range(1000))
    assert parse_labels(many).matches({})
    with pytest.raises(ApiError, match="1000 requirements at most"):
        parse_labels(f"{many},!one")
