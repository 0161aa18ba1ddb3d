"""A file whose content is made anew for each reader: a FIFO, and a thread that waits for readers.

Prometheus reads its configuration when it starts and when it is asked to (SIGHUP, `/-/reload`), and says whether that
went well. A copy that something keeps up to date could be the old one at that moment; this is what there is then.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path


def hand_out(path: Path, content: Callable[[], str]) -> None:
    """Make the file, and hand out its content for as long as the process lives."""
    os.mkfifo(path)
    threading.Thread(target=_serve, args=(path, content), name=str(path), daemon=True).start()


def _serve(path: Path, content: Callable[[], str]) -> None:
    while True:
        _hand_to_next(path, content)


def _hand_to_next(path: Path, content: Callable[[], str]) -> None:
    """Wait for a reader, and give it the content.

    The next reader gets a FIFO of its own before this one has its end: whoever opened the same again could still be
    writing to this reader.
    """
    with path.open("w", encoding="utf-8") as out:
        following = path.with_suffix(".next")
        os.mkfifo(following)
        following.replace(path)
        try:
            out.write(content())
        except BrokenPipeError:
            return  # it left before the end: its own concern
