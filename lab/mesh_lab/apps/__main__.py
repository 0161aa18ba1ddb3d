"""`mesh-lab-app PROGRAM ...`: the entry point of the image `mesh-lab/apps`. A program is imported when asked for."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib import import_module

PROGRAMS = {
    "echo": (
        "mesh_lab.apps.echo.program",
        "a server that reports what it received, and fails, delays or holds as requested",
    ),
    "traffic": ("mesh_lab.apps.traffic.idle", "an idle server: the pod from which `send` is run"),
    "send": ("mesh_lab.apps.traffic.send", "send requests and print every result"),
    "admin": ("mesh_lab.apps.traffic.admin", "ask the administration interface of the pod's Envoy"),
    "capture": ("mesh_lab.apps.traffic.capture", "look at the packets of the pod's network (needs NET_RAW)"),
    "bookinfo": (
        "mesh_lab.apps.bookinfo.__main__",
        "a service of Bookinfo: productpage, details, reviews, ratings",
    ),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a program; returns its exit code (2 for wrong usage)."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given and given[0] in PROGRAMS:
        program: Callable[[Sequence[str]], int] = import_module(PROGRAMS[given[0]][0]).main
        return program(given[1:])
    wants_help = given[:1] in (["-h"], ["--help"])
    stream = sys.stdout if wants_help else sys.stderr
    if given and not wants_help:
        stream.write(f"mesh-lab-app: there is no program {given[0]!r}\n")
    stream.write("usage: mesh-lab-app PROGRAM [OPTIONS] (each takes --help)\n")
    stream.writelines(f"  {name:10} {what}\n" for name, (_, what) in PROGRAMS.items())
    return 0 if wants_help else 2


if __name__ == "__main__":
    sys.exit(main())
