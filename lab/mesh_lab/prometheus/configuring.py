"""A configuration with `kubernetes_sd_configs`, made one with `file_sd_configs`.

https://prometheus.io/docs/prometheus/latest/configuration/configuration/#kubernetes_sd_config

The text is changed as a tree of YAML nodes, never as values: what is not concerned is written as it was read.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

FIELD = "kubernetes_sd_configs"
_FILES = "file_sd_configs"
# A configuration of a few hundred lines takes a second without the parser in C.
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_DUMPER: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
# The roles, and the objects that each joins.
ROLES: Mapping[str, frozenset[str]] = {
    "pod": frozenset(("pod", "node", "namespace")),
    "service": frozenset(("service", "namespace")),
    "endpoints": frozenset(("endpoints", "service", "pod", "node", "namespace")),
    "endpointslice": frozenset(("endpointslice", "service", "pod", "node", "namespace")),
    "ingress": frozenset(("ingress", "namespace")),
    "node": frozenset(("node",)),
}
_KNOWN = frozenset(("role", "namespaces", "selectors", "attach_metadata"))
_ATTACHED = frozenset(("node", "namespace"))
# Their paths are relative to the configuration's directory, which is another one here.
_LISTS_OF_FILES = frozenset(("rule_files", "scrape_config_files", "files"))
_NOT_CONFIGURATION = frozenset(("labels", "external_labels", "params"))


class ConfigError(Exception):
    """A part of the configuration that is not understood; the message has its place."""


@dataclass(frozen=True)
class Selector:
    """Which objects of a role are asked for: a label selector and a field selector, as the API takes them."""

    role: str
    label: str = ""
    field: str = ""


@dataclass(frozen=True)
class Discovery:
    """One `kubernetes_sd_config`. No `namespaces` are all of them."""

    role: str
    namespaces: tuple[str, ...] = ()
    own_namespace: bool = False
    selectors: tuple[Selector, ...] = ()
    attached: frozenset[str] = frozenset()

    @property
    def file(self) -> str:
        """The name of the file with its targets: the same for the same question."""
        asked = (self.role, self.namespaces, self.own_namespace, self.selectors, sorted(self.attached))
        return f"{self.role}-{hashlib.sha256(repr(asked).encode()).hexdigest()[:12]}.json"


@dataclass(frozen=True)
class Translated:
    """The configuration for Prometheus, and what its files are to hold."""

    text: str
    discoveries: frozenset[Discovery]


def translate(text: str, source: Path, targets: Path) -> Translated:
    """Translate a configuration that was read from `source`; files with targets are to be in the directory `targets`.

    Raises:
        ConfigError: it is no YAML, or asks for a discovery that is not understood.
    """
    try:
        root = yaml.compose(text, _LOADER)
    except yaml.YAMLError as error:
        raise ConfigError(str(error)) from None
    if root is None:
        return Translated(text, frozenset())
    found: set[Discovery] = set()
    for mapping, place in _mappings(root, ""):
        _absolute(mapping, source.parent)
        given = _entry(mapping, FIELD)
        if given is not None:
            asked = [_discovery(one, f"{place}{FIELD}[{at}]") for at, one in enumerate(_value(given) or ())]
            found.update(asked)
            _exchange(mapping, [str(targets / one.file) for one in asked])
    return Translated(yaml.serialize(root, Dumper=_DUMPER), frozenset(found))


def _mappings(node: yaml.Node, place: str) -> Iterator[tuple[yaml.MappingNode, str]]:
    """Each map of fields, with its place; maps whose keys are the user's own are left out."""
    if isinstance(node, yaml.MappingNode):
        yield node, place
        for key, value in list(node.value):
            if key.value not in _NOT_CONFIGURATION:
                yield from _mappings(value, f"{place}{key.value}.")
    elif isinstance(node, yaml.SequenceNode):
        for at, one in enumerate(node.value):
            yield from _mappings(one, f"{place.removesuffix('.')}[{at}].")


def _entry(mapping: yaml.MappingNode, name: str) -> yaml.Node | None:
    return next((value for key, value in mapping.value if key.value == name), None)


def _value(node: yaml.Node) -> Any:
    return yaml.load(yaml.serialize(node, Dumper=_DUMPER), _LOADER)


def _exchange(mapping: yaml.MappingNode, files: list[str]) -> None:
    """Put `file_sd_configs` in the place of the field, beside those that are there."""
    new = yaml.compose(yaml.safe_dump([{"files": files}]), _LOADER) if files else None
    more = list(new.value) if isinstance(new, yaml.SequenceNode) else []
    mapping.value = [pair for pair in mapping.value if pair[0].value != FIELD]
    existing = _entry(mapping, _FILES)
    if isinstance(existing, yaml.SequenceNode):
        existing.value += more
    elif more:
        key = yaml.ScalarNode("tag:yaml.org,2002:str", _FILES)
        mapping.value.append((key, yaml.SequenceNode("tag:yaml.org,2002:seq", more)))


def _absolute(mapping: yaml.MappingNode, directory: Path) -> None:
    """Make the map's paths absolute."""
    for key, value in mapping.value:
        if isinstance(value, yaml.ScalarNode) and str(key.value).endswith("_file") and value.value:
            value.value = str(directory / value.value)
        elif key.value in _LISTS_OF_FILES and isinstance(value, yaml.SequenceNode):
            for one in value.value:
                if isinstance(one, yaml.ScalarNode):
                    one.value = str(directory / one.value)


def _discovery(given: Any, place: str) -> Discovery:
    if not isinstance(given, dict):
        raise ConfigError(f"{place}: a map expected")
    for name in sorted(given.keys() - _KNOWN):
        raise ConfigError(
            f"{place}.{name}: the lab's discovery asks the cluster that Prometheus runs in, as its service account; "
            "leave the field out"
        )
    role = str(given.get("role", ""))
    if role not in ROLES:
        raise ConfigError(f"{place}.role: one of {', '.join(sorted(ROLES))} expected, not {role!r}")
    namespaces = given.get("namespaces") or {}
    attached = frozenset(name for name, wanted in (given.get("attach_metadata") or {}).items() if wanted)
    if unknown := attached - _ATTACHED:
        raise ConfigError(f"{place}.attach_metadata.{min(unknown)}: unknown")
    return Discovery(
        role,
        tuple(str(name) for name in namespaces.get("names") or ()),
        bool(namespaces.get("own_namespace")),
        tuple(_selector(one, role, f"{place}.selectors[{at}]") for at, one in enumerate(given.get("selectors") or ())),
        attached,
    )


def _selector(given: Mapping[str, Any], role: str, place: str) -> Selector:
    of = str(given.get("role", ""))
    if of not in ROLES[role]:
        raise ConfigError(f"{place}.role: the role {role} has no objects of the role {of!r}")
    return Selector(of, str(given.get("label", "")), str(given.get("field", "")))
