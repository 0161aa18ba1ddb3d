"""Waiting for a state that is reached eventually.

Kubernetes and a mesh promise that they come to a state, not when. These helpers wait only for such a state, and
say why. They must not repeat an experiment until it succeeds: what is under test is done once, after the wait.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

Found = TypeVar("Found")

PAUSE_SECONDS = 0.05


def eventually(condition: Callable[[], Found | None], *, timeout: float, why: str) -> Found:
    """The first truthy value of `condition`, polled for `timeout` seconds.

    For states without an event to wait for: an endpoint's ejection in Envoy's statistics, requests held by a server.
    Objects of the Kubernetes API are waited for by watching (`Api.wait_until`), configuration by its acknowledgement
    (`Mesh.wait_live`).

    Raises:
        TimeoutError: it stayed falsy; the message says why it was waited for and the last value.
    """
    end = time.monotonic() + timeout
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > end:
            raise TimeoutError(f"not within {timeout:g} s: {why} (last seen: {found!r})")
        time.sleep(PAUSE_SECONDS)
