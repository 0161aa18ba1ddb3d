"""The names outside of the cluster and their addresses, for cluster DNS."""

from __future__ import annotations

from collections.abc import Sequence

from mesh_lab.kube.config import Site


class OutsideNames:
    """Looks names up; an exact name goes before a wildcard, and a longer wildcard before a shorter one."""

    def __init__(self, sites: Sequence[Site]) -> None:
        self._addresses = {labels_of(site.name): site.addresses[0] for site in sites}
        # What lies above a name exists, without data: `wikipedia.org` where there is `*.wikipedia.org`.
        self._above = {labels[:depth] for labels in self._addresses for depth in range(1, len(labels))}

    def address(self, labels: tuple[str, ...]) -> str | None:
        """Return the address of a name, its labels from the root down: empty when it has none, None if unknown."""
        if (found := self._addresses.get(labels)) is not None:
            return found
        if labels in self._above:
            return ""
        for depth in range(len(labels) - 1, 0, -1):
            if (found := self._addresses.get((*labels[:depth], "*"))) is not None:
                return found
        return None


def labels_of(name: str) -> tuple[str, ...]:
    """Return the labels of a name from the root down."""
    return tuple(reversed(name.split(".")))


NOTHING_OUTSIDE = OutsideNames(())
