"""The plugin's first test, as README has it."""

from __future__ import annotations

import re
from pathlib import Path

README = Path(__file__).parents[1] / "README.md"
_SECTION = re.compile(r"^## Your own tests$(?P<text>.*?)^## ", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"^```python$(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)


def first_test() -> str:
    """The Python code in README's section of one's own tests."""
    section = _SECTION.search(README.read_text(encoding="utf-8"))
    assert section, "README has no section `Your own tests`"
    code = _CODE.search(section["text"])
    assert code, "README's section `Your own tests` has no Python code"
    return code["code"].lstrip()
