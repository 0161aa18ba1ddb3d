"""Folders of lessons, for tests that need one."""

from __future__ import annotations

from pathlib import Path

TEXT = """\
---
title: A lesson
minutes: 5
clusters: [embedded]
servers:
  shop: {versions: [v1, v2]}
clients:
  client: {}
variants:
- {share: 10}
- {share: 20}
---
What is the case in {{namespace}}.

## Task 1: Give {{share}} %

Do it.

### Hint

One.

### Hint

Two.

## Task 2: Give all

Do that, too.

## What to remember

- This.
"""
CHECKS = """\
from mesh_lab.learn.checking import expect


def task_1(mesh, given):
    with expect("a share", look="there"):
        assert mesh.share == given["share"], f"{mesh.share} was seen"


def task_2(mesh, given):
    return None
"""
OBJECT = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: NAME}\ndata: {share: '{{share}}'}\n"


def lesson(folder: Path, **files: str) -> Path:
    """A lesson; `files` replaces some by their names with `__` for `/` and `_` for `.`."""
    content = {"lesson_md": TEXT, "checks_py": CHECKS, "solution__task-1_yaml": OBJECT, "solution__task-2_yaml": OBJECT}
    for name, text in (content | files).items():
        path = folder / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder
