"""What the HTTP server logs of requests that are none: one line each, and not many of them.

aiohttp writes a traceback for each request that its parser refuses. Whoever sends such has an answer (400) that says
what is wrong, and the lab's log is for what is wrong with the lab.
"""

from __future__ import annotations

import logging
import time

from aiohttp.http_exceptions import HttpProcessingError

EVERY_S = 60.0
LINES = 5
"""How many refused requests are logged in `EVERY_S`."""


class _Refused(logging.Filter):
    """Makes one line of a refused request, and drops it when there have been enough."""

    def __init__(self) -> None:
        super().__init__()
        self._since = -EVERY_S
        self._lines = 0

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is logged."""
        error = record.exc_info[1] if record.exc_info else None
        if not isinstance(error, HttpProcessingError):
            return True
        now = time.monotonic()
        if now - self._since >= EVERY_S:
            self._since, self._lines = now, 0
        self._lines += 1
        why = " ".join(error.message.split())[:200]
        record.msg, record.args = "a request is refused, for it is not HTTP: %s", (why,)
        record.exc_info = record.exc_text = None
        record.levelno, record.levelname = logging.INFO, logging.getLevelName(logging.INFO)
        return self._lines <= LINES


_REFUSED = _Refused()


def logger() -> logging.Logger:
    """The logger for the HTTP server."""
    made = logging.getLogger("mesh_lab.kube.api.http")
    if _REFUSED not in made.filters:
        made.addFilter(_REFUSED)
    return made
