"""What a person sees: live progress on a terminal, plain lines in a pipe. rich is imported only for the former."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeVar

from mesh_lab.clusters.base import Report
from mesh_lab.errors import LabError

Printer = TypeVar("Printer")


def say(text: str = "") -> None:
    """One line on standard output, at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


@contextlib.contextmanager
def progress(title: str, *, quiet: bool = False) -> Iterator[Report]:
    """A reporter for something that takes a while; each line comes with the seconds since the start."""
    started = time.monotonic()
    if quiet:
        yield lambda _text: None
        return
    if not sys.stdout.isatty():
        yield lambda text: say(f"{time.monotonic() - started:6.1f}s  {text}")
        return

    from rich.console import Console
    from rich.markup import escape

    console = Console(highlight=False)
    with console.status(escape(title)) as status:

        def report(text: str) -> None:
            console.print(f"[dim]{time.monotonic() - started:6.1f}s[/dim]  {escape(text)}")
            status.update(escape(text.splitlines()[0]))

        yield report


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Columns under their headings, as kubectl prints them: what is too wide runs on, since names are to be copied."""
    widths = [max(len(cell) for cell in column) for column in zip(header, *rows, strict=True)]
    for row in (header, *rows):
        say("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def chosen(printers: Mapping[str, Printer], output: str) -> Printer:
    """Return the printer for `-o OUTPUT`.

    Raises:
        LabError: the format is not known.
    """
    if output not in printers:
        raise LabError(f"unknown output format {output!r}", hint=f"Known: {', '.join(printers)}.", exit_code=2)
    return printers[output]
