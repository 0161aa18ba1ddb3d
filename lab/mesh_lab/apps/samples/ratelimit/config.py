"""The limits of a domain: a tree of descriptors (https://github.com/envoyproxy/ratelimit#configuration)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

# Of envoy.service.ratelimit.v3.RateLimitResponse.RateLimit.Unit, with their seconds.
UNITS = {
    "second": (1, 1),
    "minute": (2, 60),
    "hour": (3, 3600),
    "day": (4, 86400),
    "month": (5, 30 * 86400),
    "year": (6, 365 * 86400),
    "week": (7, 7 * 86400),
}
_OF_A_DESCRIPTOR = {"key", "value", "rate_limit", "descriptors", "shadow_mode", "detailed_metric"}
_OF_A_LIMIT = {"unit", "requests_per_unit", "unlimited", "name"}

Entry = tuple[str, str]


class ConfigError(Exception):
    """A configuration that is not understood; the message has the file."""


@dataclass(frozen=True)
class Limit:
    """So many requests in a unit of time. `shadow`: counted, and never refused. `unlimited`: never counted."""

    requests: int = 0
    unit: str = "second"
    unlimited: bool = False
    shadow: bool = False
    name: str = ""

    @property
    def seconds(self) -> int:
        """The length of the unit."""
        return UNITS[self.unit][1]


@dataclass
class Node:
    """What holds for a descriptor's entry, and for the entries after it."""

    limit: Limit | None = None
    children: dict[str, Node] = field(default_factory=dict)

    def find(self, entries: Sequence[Entry]) -> Limit | None:
        """The limit of a descriptor: that of its last entry, each entry by key and value, or by key only."""
        node: Node | None = self
        for key, value in entries:
            assert node is not None
            node = node.children.get(_name(key, value)) or node._by_prefix(key, value) or node.children.get(key)
            if node is None:
                return None
        return node.limit if node is not None and entries else None

    def _by_prefix(self, key: str, value: str) -> Node | None:
        """A descriptor whose value ends with an asterisk."""
        whole = _name(key, value)
        return next(
            (node for name, node in self.children.items() if name.endswith("*") and whole.startswith(name[:-1])), None
        )

    def lines(self, prefix: str) -> Iterator[str]:
        """What `/rlconfig` shows."""
        if self.limit is not None:
            shown = f"unit={self.limit.unit.upper()} requests_per_unit={self.limit.requests}"
            shown = "unlimited" if self.limit.unlimited else shown
            yield f"{prefix}: {shown}, shadow_mode: {str(self.limit.shadow).lower()}"
        for name, child in self.children.items():
            yield from child.lines(f"{prefix}.{name}" if prefix else name)


def load(directory: Path) -> dict[str, Node]:
    """The domains of all files `*.yaml` and `*.yml` of a directory.

    Raises:
        ConfigError: a file that is not understood; no file.
    """
    files = sorted(path for path in directory.glob("*") if path.suffix in (".yaml", ".yml") and path.is_file())
    if not files:
        raise ConfigError(f"{directory}: there is no file *.yaml")
    domains: dict[str, Node] = {}
    for path in files:
        domain, node = _read(path)
        if domain in domains:
            raise ConfigError(f"{path}: duplicate domain '{domain}' in config file")
        domains[domain] = node
    return domains


def stamp(directory: Path) -> tuple[tuple[str, int], ...]:
    """What changes when one of the files does."""
    try:
        return tuple(sorted((str(path), path.stat().st_mtime_ns) for path in directory.glob("*") if path.is_file()))
    except OSError:
        return ()


def _read(path: Path) -> tuple[str, Node]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: error loading config file: {error}") from None
    if not isinstance(content, dict) or not content.get("domain"):
        raise ConfigError(f"{path}: config file cannot have empty domain")
    return str(content["domain"]), _node(content.get("descriptors"), str(path))


def _node(descriptors: Any, place: str) -> Node:
    node = Node()
    if descriptors is None:
        return node
    if not isinstance(descriptors, list):
        raise ConfigError(f"{place}: descriptors: a list expected")
    for number, descriptor in enumerate(descriptors):
        where = f"{place}: descriptors[{number}]"
        _known(descriptor, _OF_A_DESCRIPTOR, where)
        if not descriptor.get("key"):
            raise ConfigError(f"{where}: descriptor has empty key")
        name = _name(str(descriptor["key"]), _text(descriptor.get("value")))
        if name in node.children:
            raise ConfigError(f"{where}: duplicate descriptor composite key '{name}'")
        child = _node(descriptor.get("descriptors"), where)
        child.limit = _limit(descriptor, where)
        node.children[name] = child
    return node


def _limit(descriptor: Mapping[str, Any], where: str) -> Limit | None:
    given = descriptor.get("rate_limit")
    if given is None:
        return None
    _known(given, _OF_A_LIMIT, f"{where}.rate_limit")
    shadow, name = bool(descriptor.get("shadow_mode")), _text(given.get("name"))
    if given.get("unlimited"):
        return Limit(unlimited=True, shadow=shadow, name=name)
    unit = _text(given.get("unit")).lower()
    if unit not in UNITS:
        raise ConfigError(f"{where}.rate_limit: invalid rate limit unit '{given.get('unit')}'")
    requests = given.get("requests_per_unit", 0)
    if not isinstance(requests, int) or requests < 0:
        raise ConfigError(f"{where}.rate_limit: requests_per_unit: a number expected")
    return Limit(requests, unit, shadow=shadow, name=name)


def _known(given: Any, fields: set[str], where: str) -> None:
    if not isinstance(given, dict):
        raise ConfigError(f"{where}: a map expected")
    if unknown := sorted(set(map(str, given)) - fields):
        raise ConfigError(f"{where}: config error, unknown key '{unknown[0]}'")


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def _name(key: str, value: str) -> str:
    return f"{key}_{value}" if value else key
