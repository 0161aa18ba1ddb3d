"""A kind with every way of merging, and strategies that draw its objects."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from mesh_lab.kube.schemas.structural import compile_custom

_TEXT = {"type": "string"}
_ITEM = {
    "type": "object",
    "properties": {"k": _TEXT, "protocol": {"type": "string", "default": "TCP"}, "v": _TEXT},
}
SCHEMA = compile_custom(
    {
        "type": "object",
        "properties": {
            "spec": {
                "type": "object",
                "properties": {
                    "text": _TEXT,
                    "nested": {"type": "object", "properties": {"x": _TEXT, "y": _TEXT}},
                    "map": {"type": "object", "additionalProperties": _TEXT},
                    "whole": {"type": "object", "x-kubernetes-map-type": "atomic", "properties": {"x": _TEXT}},
                    "list": {"type": "array", "items": _TEXT},
                    "set": {"type": "array", "items": _TEXT, "x-kubernetes-list-type": "set"},
                    "items": {
                        "type": "array",
                        "items": _ITEM,
                        "x-kubernetes-list-type": "map",
                        "x-kubernetes-list-map-keys": ["k", "protocol"],
                    },
                    "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                },
            }
        },
    }
)

values = st.sampled_from(["1", "2", "3"])
names = st.sampled_from(["a", "b", "c"])
_items = st.lists(
    st.fixed_dictionaries({"k": names, "protocol": st.sampled_from(["TCP", "UDP"])}, optional={"v": values}),
    max_size=4,
    unique_by=lambda item: (item["k"], item["protocol"]),
)
specs = st.fixed_dictionaries(
    {},
    optional={
        "text": values,
        "nested": st.dictionaries(st.sampled_from(["x", "y"]), values, min_size=1, max_size=2),
        "map": st.dictionaries(names, values, min_size=1, max_size=3),
        "whole": st.dictionaries(st.just("x"), values, min_size=1, max_size=1),
        "list": st.lists(values, min_size=1, max_size=3),
        "set": st.lists(values, min_size=1, max_size=3, unique=True),
        "items": _items.filter(bool),
        "free": st.dictionaries(names, st.one_of(values, st.dictionaries(names, values, min_size=1)), min_size=1),
    },
)


def thing(spec: dict[str, Any], **metadata: Any) -> dict[str, Any]:
    """An object with the spec."""
    obj = {"apiVersion": "example.com/v1", "kind": "Thing", "metadata": {"name": "t", **metadata}}
    return {**obj, "spec": spec} if spec else obj


_labels = st.dictionaries(names, values, min_size=1, max_size=2)
things = st.one_of(specs.map(thing), st.builds(lambda spec, labels: thing(spec, labels=labels), specs, _labels))
