"""Which version of a service gave an answer, as far as the answer shows."""

from __future__ import annotations

import re
from collections.abc import Callable

from mesh_lab.apps.http.answers import Answer

_MOST_BYTES = 64 * 1024  # of a body that is looked through
# A pod of a Deployment NAME-VERSION: that name, the template's hash, five characters of the pod's own.
_BOOKINFO_POD = re.compile(rb"\breviews-(v\d+)-[a-z0-9]+-[a-z0-9]{5}\b")


def _echo(answer: Answer) -> str | None:
    return answer.headers.get("x-echo-version") or None


def _bookinfo(answer: Answer) -> str | None:
    """The reviews service puts its pod's name into its JSON, and the product page shows it."""
    found = _BOOKINFO_POD.search(answer.body, 0, _MOST_BYTES)
    return found[1].decode() if found else None


_WAYS: tuple[Callable[[Answer], str | None], ...] = (_echo, _bookinfo)


def version_of(answer: Answer) -> str | None:
    """The version (`v1`): the echo server's by its header, that of Bookinfo's reviews by its pod's name; else None."""
    return next((version for way in _WAYS if (version := way(answer))), None)
