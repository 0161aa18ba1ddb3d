"""Where a field of a YAML document stands, for messages about it."""

from __future__ import annotations

import re

import yaml

_STEP = re.compile(r"\.(?P<name>[\w-]+)|\[(?P<index>\d+|\.\.\.)\]")


def line_of(text: str, path: str) -> int:
    """The line (from 1) of the field at a path as `$.steps[1]`, or of what comes nearest above it."""
    node = yaml.compose(text, Loader=yaml.SafeLoader)
    line = 1
    for step in _STEP.finditer(path):
        found = _below(node, step)
        if found is None:
            return line
        line, node = found
    return line


def _below(node: yaml.Node | None, step: re.Match[str]) -> tuple[int, yaml.Node] | None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == step["name"]:
                return key.start_mark.line + 1, value
    if isinstance(node, yaml.SequenceNode) and (step["index"] or "").isdigit() and int(step["index"]) < len(node.value):
        value = node.value[int(step["index"])]
        return value.start_mark.line + 1, value
    return None
