"""Rules of a ServiceSplitter: those of consul-k8s' webhook and of Consul's servers."""

from __future__ import annotations

from collections.abc import Iterator

from mesh_lab.controlplane.dialects.consul.checks.common import elsewhere, modifiers
from mesh_lab.controlplane.dialects.consul.kinds import ServiceSplitter
from mesh_lab.controlplane.validation.common import Problem, error

_ALL, _LEAST = 100, 0.01


def service_splitter(spec: ServiceSplitter) -> Iterator[Problem]:
    """All problems of a ServiceSplitter."""
    if not spec.splits:
        yield error("spec.splits", "no splits configured")
        return
    total = sum(round(split.weight * 100) for split in spec.splits)
    if total != _ALL * 100:
        text = f"the sum of weights across all splits must add up to 100 percent, but adds up to {total / 100:f}"
        yield error("spec.splits", text)
    met: set[tuple[str, str, str]] = set()
    for index, split in enumerate(spec.splits):
        path = f"spec.splits[{index}]"
        if split.weight and split.weight < _LEAST:
            yield error(f"{path}.weight", "weight must be a percentage between 0.01 and 100")
        place = (split.namespace, split.service, split.service_subset)
        if place in met:
            yield error(path, "split destination occurs more than once")
        met.add(place)
        yield from elsewhere(path, split)
        yield from modifiers(f"{path}.requestHeaders", split.request_headers)
        yield from modifiers(f"{path}.responseHeaders", split.response_headers)
