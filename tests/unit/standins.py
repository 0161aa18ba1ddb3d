"""Stand-ins of other people's programs on PATH: they replay what the real ones say, and note what they were asked.

Each is the same small script; a file beside it lists its answers. The first answer whose words begin the command line
counts. An answer may write, remove or print files, so that one stand-in sees what another did, as docker sees what kind
did. What they print was taken from the real programs' sources and runs.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

# To a shell the second line starts Python, to Python it is a string: the kernel takes no path with a space after `#!`.
SCRIPT = """#!/bin/sh
"exec" "{python}" "-S" "$0" "$@"
import json, os, sys, time
here = os.path.dirname(os.path.abspath(__file__))
name = os.path.basename(__file__)
with open(os.path.join(here, "calls"), "a") as calls:
    calls.write(json.dumps([name, *sys.argv[1:]]) + "\\n")
with open(os.path.join(here, name + ".json")) as file:
    answers = json.load(file)
for answer in answers:
    given = sys.argv[1:len(answer["words"]) + 1]
    if len(given) == len(answer["words"]) and all(word in ("*", one) for word, one in zip(answer["words"], given)):
        break
else:
    sys.exit(f"{{name}}: no answer to {{sys.argv[1:]}}")
if answer.get("pid"):
    with open(os.path.join(here, answer["pid"]), "w") as file:
        file.write(str(os.getpid()))
for file in answer.get("print_files", []):
    try:
        sys.stdout.write(open(os.path.join(here, file)).read())
    except FileNotFoundError:
        pass
for line in answer.get("err", []):
    sys.stderr.write(line)
    sys.stderr.flush()
sys.stdout.write("".join(answer.get("out", [])))
sys.stdout.flush()
for file, text in answer.get("writes", {{}}).items():
    # At one go: a test may interrupt this program as soon as the file is there.
    path = os.path.join(here, file)
    with open(path + ".new", "w") as written:
        written.write(text)
    os.replace(path + ".new", path)
for file in answer.get("removes", []):
    if os.path.exists(os.path.join(here, file)):
        os.remove(os.path.join(here, file))
if answer.get("hangs"):
    time.sleep(300)
sys.exit(answer.get("code", 0))
"""


def answer(
    *words: str,
    out: str = "",
    err: Sequence[str] = (),
    code: int = 0,
    hangs: bool = False,
    print_files: Sequence[str] = (),
    writes: Mapping[str, str] | None = None,
    removes: Sequence[str] = (),
    pid: str = "",
) -> dict[str, Any]:
    """What a stand-in does when its command line begins with `words`; `*` stands for any word."""
    return {
        "words": list(words),
        "out": [out],
        "err": list(err),
        "code": code,
        "hangs": hangs,
        "print_files": list(print_files),
        "writes": dict(writes or {}),
        "removes": list(removes),
        "pid": pid,
    }


class StandIns:
    """A directory of stand-ins; `environ` finds them alone."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir(exist_ok=True)

    @property
    def environ(self) -> dict[str, str]:
        """PATH with the stand-ins and nothing else."""
        return {"PATH": str(self.directory), "HOME": str(self.directory)}

    def add(self, name: str, *answers: Mapping[str, Any]) -> None:
        """Make a stand-in, or give one other answers."""
        script = self.directory / name
        script.write_text(SCRIPT.format(python=sys.executable))
        script.chmod(0o755)
        (self.directory / f"{name}.json").write_text(json.dumps(answers))

    def prefer(self, name: str, *answers: Mapping[str, Any]) -> None:
        """Put answers before those that the stand-in has."""
        present = json.loads((self.directory / f"{name}.json").read_text())
        self.add(name, *answers, *present)

    def calls(self, name: str = "") -> list[list[str]]:
        """The command lines so far, of one program or of all."""
        file = self.directory / "calls"
        lines = file.read_text().splitlines() if file.exists() else []
        called = [json.loads(line) for line in lines]
        return [call for call in called if not name or call[0] == name]
