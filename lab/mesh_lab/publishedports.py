"""The mark of a Service's ports that are there for the host's loopback, under numbers of the lab's own.

The installer sets it on the ingress Service. The API server lets the marked ports keep their names, which clients look
for, and to the mesh they are TCP: as HTTP each sidecar would take all requests to their numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

ANNOTATION = "mesh-lab/published-ports"


def mark(numbers: Iterable[int]) -> dict[str, str]:
    """The annotation of a Service with these ports; none where there are none."""
    text = ",".join(str(number) for number in sorted(numbers))
    return {ANNOTATION: text} if text else {}


def marked(metadata: Mapping[str, Any]) -> frozenset[int]:
    """The numbers of the ports that a Service's metadata marks."""
    text: str = (metadata.get("annotations") or {}).get(ANNOTATION, "")
    return frozenset(int(part) for part in text.split(",") if part.isascii() and part.isdigit())
