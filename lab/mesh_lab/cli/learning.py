"""The commands of `mesh-lab learn`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from mesh_lab.cli.context import context
from mesh_lab.cli.values import one_of
from mesh_lab.settings import CLUSTERS, Lab

_BEGIN = "start"


class _Lessons(TyperGroup):
    """`learn NAME` is `learn start NAME`, where NAME is no command."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that the first word means."""
        if args and args[0] not in self.commands and not args[0].startswith("-"):
            args = [_BEGIN, *args]
        return super().resolve_command(ctx, args)

    def shell_complete(self, ctx: Any, incomplete: str) -> Any:
        """The commands, and the lessons."""
        from click.shell_completion import CompletionItem

        offered = list(super().shell_complete(ctx, incomplete))
        if incomplete.startswith("-"):
            return offered
        return [*offered, *(CompletionItem(name) for name in _lessons() if name.startswith(incomplete))]


def _lessons() -> list[str]:
    from mesh_lab.learn.catalogue import names

    return names()


learning = typer.Typer(cls=_Lessons)

OutputOption = Annotated[
    str,
    typer.Option("-o", "--output", metavar="FORMAT", help="text or json.", autocompletion=one_of("text", "json")),
]
NameArgument = Annotated[
    str,
    typer.Argument(
        metavar="[NAME]",
        help="A lesson, or its folder; else the current one.",
        autocompletion=_lessons,
        show_default=False,
    ),
]
_options: dict[str, str | None] = {"learner": None, "cluster": None}


@learning.callback(invoke_without_command=True)
def learn(
    typed: typer.Context,
    learner: Annotated[
        str | None,
        typer.Option(
            "--learner",
            metavar="NAME",
            envvar="MESH_LAB_LEARNER",
            help="Whose progress and namespaces, where several share a lab.",
            show_default=False,
        ),
    ] = None,
    cluster: Annotated[
        str | None,
        typer.Option(
            "--cluster",
            metavar="KIND",
            help="Where the lab runs: embedded, kind, existing.",
            autocompletion=one_of(*CLUSTERS),
        ),
    ] = None,
    output: OutputOption = "text",
) -> None:
    """Lessons that check themselves. Without a command it lists them; `mesh-lab learn NAME` begins one.

    Each takes place in a namespace of its own; `check` looks at what the mesh does, not at what you wrote. All commands
    work from any terminal: the lesson that was begun last is the current one.
    """
    _options.update(learner=learner, cluster=cluster)
    if typed.invoked_subcommand is None:
        from mesh_lab.cli.learn import listing

        listing(_lab(), _learner(), output)


def _lab() -> Lab:
    return context.lab(_options["cluster"])


def _learner() -> str:
    return _options["learner"] or ""


@learning.command(name=_BEGIN, short_help="Begin a lesson, or go on with it: `learn NAME` does the same.")
def start(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="A lesson, or the folder of one.", autocompletion=_lessons)
    ],
    seed: Annotated[
        str | None,
        typer.Option(
            "--seed", metavar="TEXT", help="Chooses the lesson's variant; else the learner's name.", show_default=False
        ),
    ] = None,
) -> None:
    """Begin a lesson, or go on with it: its text, its start in the lab, and the next task."""
    from mesh_lab.cli.learn import begin

    begin(_lab(), _learner(), name, seed)


@learning.command(short_help="Check the next task.")
def check(name: NameArgument = "", output: OutputOption = "text") -> None:
    """Check the next task: what was seen, what was expected, where to look. Exit code 1 when it is not solved yet."""
    from mesh_lab.cli.learn import check

    check(_lab(), _learner(), name, output)


@learning.command(short_help="Show the next task again.")
def task(name: NameArgument = "") -> None:
    """Show the next task again."""
    from mesh_lab.cli.learn import task

    task(_lab(), _learner(), name)


@learning.command(short_help="Show one more hint for the next task.")
def hint(name: NameArgument = "") -> None:
    """Show one more hint for the next task."""
    from mesh_lab.cli.learn import hint

    hint(_lab(), _learner(), name)


@learning.command(short_help="Show a solution of the next task.")
def solution(
    name: NameArgument = "",
    apply: Annotated[bool, typer.Option("--apply", help="Apply it to the lesson's namespace, too.")] = False,
) -> None:
    """Show a solution of the next task, as YAML. There may be others: a check accepts each that works."""
    from mesh_lab.cli.learn import solution

    solution(_lab(), _learner(), name, apply=apply)


@learning.command(short_help="Bring a lesson's start back.")
def reset(name: NameArgument = "") -> None:
    """Bring a lesson's start back: its namespace holds what it began with and nothing else."""
    from mesh_lab.cli.learn import reset

    reset(_lab(), _learner(), name)


@learning.command(short_help="Delete a lesson's namespace; the progress is kept.")
def leave(name: NameArgument = "") -> None:
    """Delete a lesson's namespace, with its pods. Your progress is kept, and `learn NAME` brings the lesson back."""
    from mesh_lab.cli.learn import leave

    leave(_lab(), _learner(), name)


@learning.command(name="next", short_help="Begin the next lesson.")
def following() -> None:
    """Begin the lesson after the current one that is not done yet."""
    from mesh_lab.cli.learn import following

    following(_lab(), _learner())


@learning.command(short_help="Make a lesson of your own.")
def new(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Its name is the lesson's.", show_default=False)],
) -> None:
    """Make a folder with a small lesson that passes its own tests, to go on from."""
    from mesh_lab.cli.learn import new

    new(folder)


@learning.command(name="test", short_help="Try whether lessons are right.")
def trial(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME]...", help="Lessons, or folders; else all.", autocompletion=_lessons),
    ] = None,
    seed: Annotated[str, typer.Option("--seed", metavar="TEXT", help="Chooses the variants.")] = "",
) -> None:
    """Try whether lessons are right, each in a namespace that is deleted afterwards.

    The untouched start fails, each wrong solution fails with its own words, the solution passes. Exit code 1 else.
    """
    from mesh_lab.cli.learn import trial

    trial(_lab(), names or [], seed)
