"""The collector's configuration file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

SIGNALS = ("logs", "traces", "metrics")
# Components by the part of their name before the slash. Those of the second set are accepted and do nothing here.
RECEIVERS, IDLE_RECEIVERS = frozenset(("otlp",)), frozenset(("opencensus",))
EXPORTERS, IDLE_EXPORTERS = frozenset(("debug", "logging", "zipkin")), frozenset(("nop",))
PROCESSORS = frozenset(("batch", "memory_limiter"))
EXTENSIONS = frozenset(("bearertokenauth", "health_check", "pprof", "zpages"))
_PORTS = {"grpc": 4317, "http": 4318}


class ConfigError(Exception):
    """A configuration that is not understood; the message has the place."""


@dataclass(frozen=True)
class Receiver:
    """An OTLP port: its protocol, and the token that its clients must show."""

    name: str
    protocol: str
    port: int
    token: str = ""


@dataclass(frozen=True)
class Exporter:
    """Where to: `debug`, or `zipkin` with a URL."""

    kind: str
    url: str = ""


@dataclass(frozen=True)
class Collector:
    """The ports, and by receiver and signal what passes on what comes in."""

    receivers: tuple[Receiver, ...]
    routes: Mapping[tuple[str, str], tuple[Exporter, ...]]
    health: bool = False


def load(path: Path) -> Collector:
    """Read a file.

    Raises:
        ConfigError: something in it has no meaning here.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: {error}") from None
    top = _map(content, str(path))
    service = _map(top.get("service"), "service")
    extensions = [str(name) for name in service.get("extensions") or ()]
    for name in extensions:
        _known(name, EXTENSIONS, "extensions")
    for name in _map(top.get("processors"), "processors"):
        _known(name, PROCESSORS, "processors")
    receivers = _receivers(top, extensions)
    exporters = _exporters(top)
    routes: dict[tuple[str, str], tuple[Exporter, ...]] = {}
    for pipeline, given in _map(service.get("pipelines"), "service.pipelines").items():
        signal = str(pipeline).partition("/")[0]
        if signal not in SIGNALS:
            raise ConfigError(f"service.pipelines.{pipeline}: only {', '.join(SIGNALS)}")
        for receiver in given.get("receivers") or ():
            _declared(receiver, receivers.keys(), f"service.pipelines.{pipeline}.receivers")
            found = [
                _declared(name, exporters, f"service.pipelines.{pipeline}") for name in given.get("exporters") or ()
            ]
            routes[receiver, signal] = routes.get((receiver, signal), ()) + tuple(e for e in found if e is not None)
    ports = tuple(one for group in receivers.values() for one in group)
    return Collector(ports, routes, any(name.startswith("health_check") for name in extensions))


def _receivers(top: Mapping[str, Any], extensions: list[str]) -> dict[str, tuple[Receiver, ...]]:
    tokens = {
        name: str(_map(given, f"extensions.{name}").get("token", ""))
        for name, given in _map(top.get("extensions"), "extensions").items()
        if name in extensions
    }
    found: dict[str, tuple[Receiver, ...]] = {}
    for name, given in _map(top.get("receivers"), "receivers").items():
        _known(name, RECEIVERS | IDLE_RECEIVERS, "receivers")
        if name.partition("/")[0] in IDLE_RECEIVERS:
            found[name] = ()
            continue
        protocols = _map(_map(given, f"receivers.{name}").get("protocols"), f"receivers.{name}.protocols")
        found[name] = tuple(_receiver(name, protocol, settings, tokens) for protocol, settings in protocols.items())
    return found


def _receiver(name: str, protocol: str, settings: Any, tokens: Mapping[str, str]) -> Receiver:
    place = f"receivers.{name}.protocols.{protocol}"
    if protocol not in _PORTS:
        raise ConfigError(f"{place}: only grpc and http")
    given = _map(settings, place)
    port = str(given.get("endpoint", _PORTS[protocol])).rpartition(":")[2]
    if not port.isdigit():
        raise ConfigError(f"{place}.endpoint: HOST:PORT expected")
    authenticator = _map(given.get("auth"), f"{place}.auth").get("authenticator")
    if authenticator is not None and not tokens.get(authenticator):
        raise ConfigError(f"{place}.auth: {authenticator}: no such extension with a token")
    return Receiver(name, protocol, int(port), tokens[authenticator] if authenticator else "")


def _exporters(top: Mapping[str, Any]) -> dict[str, Exporter | None]:
    found: dict[str, Exporter | None] = {}
    for name, given in _map(top.get("exporters"), "exporters").items():
        kind = str(name).partition("/")[0]
        _known(name, EXPORTERS | IDLE_EXPORTERS, "exporters")
        settings = _map(given, f"exporters.{name}")
        if kind in IDLE_EXPORTERS:
            found[name] = None
        elif kind == "zipkin":
            url = str(settings.get("endpoint", ""))
            if not url.startswith("http://"):
                raise ConfigError(f"exporters.{name}.endpoint: http://... expected")
            found[name] = Exporter("zipkin", url)
        else:
            found[name] = Exporter("debug")
    return found


def _known(name: Any, known: frozenset[str], what: str) -> None:
    if str(name).partition("/")[0] not in known:
        raise ConfigError(f"{what}: the lab's collector has no '{name}', only {', '.join(sorted(known))}")


def _declared(name: Any, known: Any, place: str) -> Any:
    if name not in known:
        raise ConfigError(f"{place}: '{name}' is not declared")
    return known[name] if isinstance(known, dict) else None


def _map(value: Any, place: str) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ConfigError(f"{place}: a map expected")
    return value
