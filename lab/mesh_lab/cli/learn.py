"""`mesh-lab learn`: the lessons in a terminal. What they are and what they check, `mesh_lab.learn` knows."""

from __future__ import annotations

import json
import os
import re
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from mesh_lab.cli.console import chosen, progress, say, table
from mesh_lab.errors import LabError
from mesh_lab.learn import catalogue
from mesh_lab.learn.progress import LEARNER_PATTERN
from mesh_lab.learn.session import Checked, Opened, Row, Session
from mesh_lab.settings import Lab

if TYPE_CHECKING:
    from mesh_lab.client.api import Api


def listing(lab: Lab, learner: str, output: str) -> None:
    """Print the lessons and the progress in each.

    Raises:
        LabError: the progress cannot be read.
    """
    command = _command(lab, learner)
    show = chosen({"text": lambda rows: _show_rows(rows, command), "json": _show_rows_json}, output)
    show(_session(lab, learner).rows())


def begin(lab: Lab, learner: str, name: str, seed: str | None) -> None:
    """Print a lesson's text, bring its start up, print the next task.

    Raises:
        LabError: there is no such lesson, it is broken, or the lab is not up.
    """
    session = _session(lab, learner)
    opened = session.begin(name, seed)
    about = opened.lesson.about
    _markdown(f"# {about.title}\n\n*About {about.minutes} minutes.*\n\n{opened.lesson.opening}")
    with _connected(lab) as api:
        place = session.place(api, opened)
        if opened.standing.solved == 0 or not place.exists():
            with progress(f"preparing {place.namespace}") as tell:
                place.set_up()
                tell(f"{place.namespace} is ready")
    if os.environ.get("KUBECONFIG") != str(lab.kubeconfig):
        say(f"For kubectl in this terminal: export KUBECONFIG={lab.kubeconfig}\n")
    _show_next(opened, _command(lab, learner))


def check(lab: Lab, learner: str, name: str, output: str) -> None:
    """Check the next task and print what came of it.

    Raises:
        LabError: the check cannot be carried out.
        SystemExit: with code 1, when the task is not solved.
    """
    command = _command(lab, learner)
    show = chosen({"text": lambda checked: _show_checked(checked, command), "json": _show_checked_json}, output)
    session = _session(lab, learner)
    opened = session.opened(name)
    with _connected(lab) as api:
        checked = session.check(api, opened)
    show(checked)
    if not checked.verdict.passed:
        raise SystemExit(1)


def task(lab: Lab, learner: str, name: str) -> None:
    """Print the next task.

    Raises:
        LabError: no lesson has been begun.
    """
    _show_next(_session(lab, learner).opened(name), _command(lab, learner))


def hint(lab: Lab, learner: str, name: str) -> None:
    """Print one more hint.

    Raises:
        LabError: there is none.
    """
    session = _session(lab, learner)
    text, number, count = session.hint(session.opened(name))
    _markdown(f"**Hint {number} of {count}**\n\n{text}")


def solution(lab: Lab, learner: str, name: str, *, apply: bool) -> None:
    """Print a solution as YAML, and apply it when that is asked for.

    Raises:
        LabError: there is none, or it cannot be applied.
    """
    import yaml

    session = _session(lab, learner)
    opened = session.opened(name)
    objects = session.solution(opened)
    namespace = opened.given["namespace"]
    say(f"# Of {opened.lesson.name}, task {opened.standing.solved + 1}, in the namespace {namespace}.")
    say("# `mesh-lab learn solution --apply` merges it into what is there.")
    say(yaml.safe_dump_all(objects, sort_keys=False).rstrip())
    if apply:
        with _connected(lab) as api:
            session.place(api, opened).apply(objects)
        sys.stderr.write("applied; `mesh-lab learn check` checks it\n")


def reset(lab: Lab, learner: str, name: str) -> None:
    """Bring a lesson's start back.

    Raises:
        LabError: the lab is not up, or the start is not ready in time.
    """
    session = _session(lab, learner)
    opened = session.opened(name)
    begun = time.monotonic()
    with _connected(lab) as api:
        opened = session.reset(api, opened)
    say(f"{opened.given['namespace']} is as it was at the start ({time.monotonic() - begun:.1f} s)")
    _show_next(opened, _command(lab, learner))


def leave(lab: Lab, learner: str, name: str) -> None:
    """Delete a lesson's namespace.

    Raises:
        LabError: the lesson has not been begun, or the lab is not up.
    """
    session = _session(lab, learner)
    opened = session.opened(name)
    with _connected(lab) as api:
        session.place(api, opened).remove()
    say(f"{opened.given['namespace']} is being deleted; `mesh-lab learn {opened.lesson.name}` brings it back")


def following(lab: Lab, learner: str) -> None:
    """Begin the next lesson.

    Raises:
        LabError: there is none.
    """
    begin(lab, learner, _session(lab, learner).following(), None)


def new(folder: Path) -> None:
    """Make a lesson in a folder.

    Raises:
        LabError: the folder is there already, its name is none of a lesson, or it cannot be written.
    """
    from mesh_lab.learn.making import make

    make(folder)
    place = folder if folder.is_absolute() else f"./{folder}"
    say(f"{folder} holds a lesson. Try it and test it:")
    say(f"  mesh-lab learn {place}")
    say(f"  mesh-lab learn test {place}")


def trial(lab: Lab, names: Sequence[str], seed: str) -> None:
    """Try lessons, all of the course where none is named.

    Raises:
        LabError: a lesson is not there, or the lab is not up.
        SystemExit: with code 1, when one is not right.
    """
    from mesh_lab.learn import trial
    from mesh_lab.learn.place import images_of

    wanted = list(names) or catalogue.names()
    begun, wrong = time.monotonic(), []
    with _connected(lab) as api:
        for name in wanted:
            say(name)
            started = time.monotonic()
            try:
                trial.of(api, catalogue.find(name), seed, images_of(lab), say)
            except (trial.TrialFailed, LabError) as error:
                wrong.append(name)
                say(f"  WRONG: {error}")
            say(f"  {time.monotonic() - started:.1f} s")
    say(f"{len(wanted) - len(wrong)} of {len(wanted)} lessons are right ({time.monotonic() - begun:.1f} s)")
    if wrong:
        raise SystemExit(1)


def _command(lab: Lab, learner: str) -> str:
    """How this learner gives this lab a command of `learn`."""
    return lab.command("learn") + (f" --learner {learner}" if learner else "")


def _connected(lab: Lab) -> Api:
    from mesh_lab.cli.access import connect

    return connect(lab)


def _session(lab: Lab, learner: str) -> Session:
    if learner and not re.fullmatch(LEARNER_PATTERN, learner):
        raise LabError(
            f"--learner {learner!r} is no name of a learner",
            hint="At most 16 lower-case letters, digits and hyphens: it is a part of namespaces' names.",
            exit_code=2,
        )
    return Session(lab, learner)


# What is shown


def _show_rows(rows: Sequence[Row], command: str) -> None:
    cells = [
        (
            "*" if row.current else "",
            row.name,
            row.state,
            f"{row.solved}/{row.tasks}" if row.tasks else "",
            f"{row.minutes} min" if row.minutes else "",
            row.title or row.broken,
        )
        for row in rows
    ]
    table(("", "NAME", "STATE", "TASKS", "TIME", "WHAT"), cells)
    say()
    say(f"`{command} NAME` begins a lesson; `check`, `hint`, `solution` and `reset` are about the one with *.")


def _show_rows_json(rows: Sequence[Row]) -> None:
    say(json.dumps([asdict(row) for row in rows], indent=2))


def _show_next(opened: Opened, command: str) -> None:
    task = opened.task
    if task is None:
        say(f"All {len(opened.lesson.tasks)} tasks of {opened.lesson.name} are solved.")
        say(f"`{command} next` begins the next lesson, `{command} reset` this one anew.")
        return
    _markdown(f"## Task {task.number} of {len(opened.lesson.tasks)}: {task.title}\n\n{task.text}")
    say(f"Then: `{command} check`. Stuck: `{command} hint`.")


def _show_checked(checked: Checked, command: str) -> None:
    if not checked.verdict.passed:
        say(f"task {checked.task.number}, {checked.task.title}: not yet")
        for line in checked.verdict.words.splitlines():
            say(f"  {line}")
        return
    say(f"task {checked.task.number}, {checked.task.title}: solved")
    say()
    if checked.finished:
        _markdown("\n\n".join(f"## {each.title}\n\n{each.text}" for each in checked.opened.lesson.closing))
    _show_next(checked.opened, command)


def _show_checked_json(checked: Checked) -> None:
    found = {
        "lesson": checked.opened.lesson.name,
        "task": checked.task.number,
        **asdict(checked.verdict),
        "solved": checked.opened.standing.solved,
        "tasks": len(checked.opened.lesson.tasks),
        "finished": checked.finished,
    }
    say(json.dumps(found, indent=2))


def _markdown(text: str) -> None:
    """The text as a terminal shows it; as it is where the output is none."""
    if not sys.stdout.isatty():
        say(text)
        say()
        return
    from rich.console import Console
    from rich.markdown import Markdown

    console = Console(highlight=False)
    for part in re.split(r"(^```.*?^```$)", text, flags=re.DOTALL | re.MULTILINE):
        if part.startswith("```"):
            # Commands are to be copied: a line that is too wide runs on, where Markdown would break it.
            code = "\n".join(f"  {line}" for line in part.splitlines()[1:-1])
            console.print(f"\n{code}\n", style="cyan", markup=False, soft_wrap=True)
        elif part.strip():
            console.print(Markdown(part))
    console.print()
