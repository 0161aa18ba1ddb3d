"""`--quick`, for `make quick`: the tests of what is computed, without those that take their time."""

from __future__ import annotations

import re
import signal
from pathlib import Path

import pytest

UNIT = Path(__file__).parent
ROOMS = ("apps", "controlplane", "harness", "kube/objects", "kube/registry")
"""Where most rules are, and little is asked of the machine."""

SLOW = re.compile(
    r"\b(hypothesis|subprocess|fake_api|authorities|sleep|alone|envoy)\b(?= import|\.|\(|$)", re.MULTILINE
)
"""What a slow module has in its text: generated examples, processes, waiting, keys, a whole control plane, an Envoy."""


# As from a terminal: a shell starts its background jobs, such as a whole run of tests, with SIGINT ignored.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the option."""
    parser.addoption("--quick", action="store_true", help="only unit tests of pure functions: seconds, not minutes")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave slow modules unread: to import them is a good part of what they cost."""
    if not config.getoption("quick") or collection_path.suffix != ".py":
        return None
    place = collection_path.relative_to(UNIT)
    return not any(place.is_relative_to(room) for room in ROOMS) or bool(SLOW.search(collection_path.read_text()))
