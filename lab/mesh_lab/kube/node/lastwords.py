"""What a container said last before it failed, for its status and events.

A kubelet shows the end of the log only where the container asks for it (`terminationMessagePolicy:
FallbackToLogsOnError`), and Istio's proxy does not ask. Here it is always shown when a container failed and wrote no
message of its own: whoever looks at a pod that does not come up wants to know why.
https://kubernetes.io/docs/tasks/debug/debug-application/determine-reason-pod-failure/
"""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path

from mesh_lab.kube.node.files.logreading import PREFIX

_BYTES, _LINES = 2048, 80
"""What a kubelet shows at most."""
_READ = 64 << 10
_SHOWN = 300
_FRAME = re.compile(r"\[backtrace\]|^\s*#\d+:? |^\s+at \S|^goroutine \d+ |^\s+\S+\.go:\d+ ")
"""A frame of a stack trace: it says where a program was, and not what went wrong."""


def tail(path: Path) -> str:
    """The end of a log, without times and without the frames of stack traces; empty when nothing is there."""
    with contextlib.suppress(OSError), path.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - _READ))
        stored = file.read().split(b"\n")
        lines = [line[PREFIX:].decode(errors="replace") for line in stored if len(line) > PREFIX]
        kept = [line for line in lines if not _FRAME.search(line)][-_LINES:]
        return "\n".join(kept).encode()[-_BYTES:].decode(errors="ignore")
    return ""


def last_line(message: str) -> str:
    """The last line of a message that says something, for one line of text."""
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    return lines[-1][:_SHOWN] if lines else ""
