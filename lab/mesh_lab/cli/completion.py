"""Shell completion: the script that a shell reads, and the candidates for the words typed so far.

typer carries it out. The lab's own part is that it is set up only when completion is asked for, and the program by
which kubectl asks its plugins: https://pkg.go.dev/k8s.io/kubectl/pkg/cmd#SetupPluginCompletion.
"""

from __future__ import annotations

import contextlib
import io
import os
import shlex
import sys

from mesh_lab.cli.console import say
from mesh_lab.errors import LabError

PROGRAM = "mesh-lab"
VARIABLE = "_MESH_LAB_COMPLETE"
"""What a shell sets when it asks: an action and the shell's name, as `complete_bash`."""

SHELLS = ("bash", "zsh", "fish")
_FILES_IF_NOTHING_ELSE, _GOES_ON = ":0", ":2"  # directives of cobra's, on the last line

_BASH_GOES_ON = """
_mesh_lab_completion_goes_on() {
    _mesh_lab_completion "$@"
    [[ ${COMPREPLY[0]} != */ ]] || compopt -o nospace 2>/dev/null
}
complete -o default -F _mesh_lab_completion_goes_on mesh-lab
"""
"""After `kind/` the name follows, without a space. fish does so by itself."""


def print_script(shell: str) -> None:
    """Print the script by which `shell` completes `mesh-lab`.

    Raises:
        LabError: the shell is not known.
    """
    if shell not in SHELLS:
        raise LabError(f"no completion for the shell {shell!r}", hint=f"Known: {', '.join(SHELLS)}.", exit_code=2)
    from typer.completion import shell_complete
    from typer.main import get_command

    from mesh_lab.cli.app import app

    prepare()
    shell_complete(get_command(app), {}, PROGRAM, VARIABLE, f"source_{shell}")
    if shell == "bash":
        say(_BASH_GOES_ON)


def prepare() -> None:
    """Register the shells with typer, which does so by itself only for programs with its own two options."""
    from typer.completion import get_completion_inspect_parameters

    get_completion_inspect_parameters()


def complete_for_kubectl() -> None:
    """The program `kubectl_complete-mesh_lab`: its arguments are the words so far, the last of them unfinished.

    It prints a word with its description on each line, which is fish's form, too.
    """
    from mesh_lab.cli import entry

    *words, unfinished = sys.argv[1:] or [""]
    os.environ |= {
        VARIABLE: "complete_fish",
        "_TYPER_COMPLETE_FISH_ACTION": "get-args",
        "_TYPER_COMPLETE_ARGS": f"{shlex.join([PROGRAM, *words])} {unfinished}",
    }
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed):
            entry.main()
    finally:
        offered = printed.getvalue()
        sys.stdout.write(offered)
        say(_GOES_ON if offered.rstrip().endswith("/") else _FILES_IF_NOTHING_ELSE)
