#!/usr/bin/env python3
"""The steps of action.yml, as tools/run_action.sh runs them: action_steps.py DIRECTORY [INPUT=VALUE ...].

Writes a directory for each step, `00` and so on: its `name`; `kind` (run, uses, or skip) while all is well, and
`kind-failed` after a failure; its `script`; and its variables, `environment`. Of GitHub's expressions those are known
that action.yml uses: inputs, comparison with a text, `failure()`, `&&`, `||`, and outputs of earlier steps, which are
written as `@NAME@`.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import yaml

ACTION = Path(__file__).parent.parent / "action.yml"
_EXPRESSION = re.compile(r"\$\{\{\s*(.*?)\s*\}\}")
_TERM = re.compile(r"(inputs\.[\w-]+|failure\(\))(?:\s*(==|!=)\s*'([^']*)')?")


def load() -> dict[str, Any]:
    """The action."""
    found: dict[str, Any] = yaml.safe_load(ACTION.read_text(encoding="utf-8"))
    return found


def settle(declared: dict[str, Any], given: list[str]) -> dict[str, str]:
    """Return the inputs: the values that are given, else their defaults.

    Raises:
        ValueError: an input is not declared.
    """
    inputs = {name: str(entry.get("default", "")) for name, entry in declared.items()}
    for each in given:
        name, _, value = each.partition("=")
        if name not in inputs:
            raise ValueError(f"no such input: {name}")
        inputs[name] = value
    return inputs


def holds(condition: str, inputs: dict[str, str], *, failed: bool) -> bool:
    """Whether a step runs. As on a runner, one that does not ask for `failure()` runs only while all is well."""
    if "failure()" not in condition and failed:
        return False
    return not condition or any(
        all(_is_true(term.strip(), inputs, failed=failed) for term in alternative.split("&&"))
        for alternative in condition.split("||")
    )


def _is_true(term: str, inputs: dict[str, str], *, failed: bool) -> bool:
    found = _TERM.fullmatch(term)
    if found is None:
        raise ValueError(f"an expression that is not known here: {term}")
    what, operator, text = found.groups()
    if what == "failure()":
        return failed
    value = inputs[what.removeprefix("inputs.")]
    if operator is None:
        return bool(value)
    return (value == text) == (operator == "==")


def filled(text: str, inputs: dict[str, str]) -> str:
    """`text` with its expressions replaced: `inputs.NAME` and `steps.ID.outputs.NAME`."""

    def value(found: re.Match[str]) -> str:
        kind, _, rest = found[1].partition(".")
        if kind == "inputs":
            return inputs[rest]
        if kind == "steps":
            return f"@{rest.partition('.outputs.')[2]}@"
        raise ValueError(f"an expression that is not known here: {found[1]}")

    return _EXPRESSION.sub(value, text)


def parts(step: dict[str, Any], inputs: dict[str, str]) -> dict[str, str]:
    """What is written of a step, by the files' names."""
    condition = str(step.get("if", ""))
    kind = "run" if "run" in step else "uses"
    given = ", ".join(f"{key}: {filled(str(value), inputs)}" for key, value in step.get("with", {}).items())
    return {
        "name": step["name"],
        "kind": kind if holds(condition, inputs, failed=False) else "skip",
        "kind-failed": kind if holds(condition, inputs, failed=True) else "skip",
        "script": str(step["run"]) if kind == "run" else f"{step['uses']} ({given})",
        "environment": "".join(f"{key}={filled(str(value), inputs)}\0" for key, value in step.get("env", {}).items()),
    }


def main(arguments: list[str]) -> int:
    """Read the module's text."""
    if not arguments:
        sys.stderr.write(__doc__ or "")
        return 2
    action = load()
    try:
        inputs = settle(action["inputs"], arguments[1:])
        steps = [parts(step, inputs) for step in action["runs"]["steps"]]
    except ValueError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    for number, step in enumerate(steps):
        place = Path(arguments[0]) / f"{number:02}"
        place.mkdir(parents=True)
        for name, text in step.items():
            (place / name).write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
