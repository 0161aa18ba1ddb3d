"""The files with targets: written when a configuration asks for them, and again when objects have changed."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from mesh_lab.prometheus.configuring import ROLES, Discovery
from mesh_lab.prometheus.reflecting import Api, Reflector, Source
from mesh_lab.prometheus.targets import ADDRESS, Key, Labels, Object, targets

_TOGETHER_SECONDS = 0.2
"""What changes within this time is written at once. Prometheus itself reads files at most every 5 seconds."""
_ATTACHED = frozenset(("node", "namespace"))


class Discovering:
    """Follows what the discoveries of the moment ask for, and writes their targets into `directory`."""

    def __init__(self, api: Api, directory: Path, own_namespace: str, log: Callable[[str], None]) -> None:
        self._api = api
        self._directory = directory
        self._own_namespace = own_namespace
        self._log = log
        self._lock = threading.Lock()
        self._wanted: frozenset[Discovery] = frozenset()
        self._reflectors: dict[Source, Reflector] = {}
        self._written: dict[str, str] = {}
        self._changed = threading.Event()

    def start(self) -> None:
        """Begin to write, in a thread of its own."""
        threading.Thread(target=self._run, name="targets", daemon=True).start()

    def ask(self, discoveries: frozenset[Discovery]) -> None:
        """Follow these, and no others."""
        needed = {source for one in discoveries for source in sources(one, self._own_namespace)}
        with self._lock:
            for source in self._reflectors.keys() - needed:
                self._reflectors.pop(source).stop()
            for source in needed - self._reflectors.keys():
                self._reflectors[source] = Reflector(self._api, source, self._changed.set, self._log)
                self._reflectors[source].start()
            self._wanted = discoveries
        self._changed.set()

    def write(self) -> None:
        """Write each file whose targets have changed; one whose objects have not all been listed yet is left alone."""
        with self._lock:
            wanted, reflectors = self._wanted, dict(self._reflectors)
        for discovery in wanted:
            found = _joined(sources(discovery, self._own_namespace), reflectors)
            if found is None:
                continue
            text = _text(targets(discovery, found))
            if self._written.get(discovery.file) != text:
                _replace(self._directory / discovery.file, text)
                self._written[discovery.file] = text

    def _run(self) -> None:
        while True:
            self._changed.wait()
            threading.Event().wait(_TOGETHER_SECONDS)
            self._changed.clear()
            self.write()


def sources(discovery: Discovery, own_namespace: str) -> list[Source]:
    """The collections that a discovery needs."""
    chosen = {one.role: one for one in discovery.selectors}
    namespaces = [*discovery.namespaces, *([own_namespace] if discovery.own_namespace else [])] or [""]
    found = []
    for role in sorted(ROLES[discovery.role]):
        if role in _ATTACHED and role != discovery.role and role not in discovery.attached:
            continue
        label, field = (chosen[role].label, chosen[role].field) if role in chosen else ("", "")
        places = [""] if role in _ATTACHED else namespaces
        found += [Source(role, place, label, field) for place in dict.fromkeys(places)]
    return found


def _joined(
    needed: Iterable[Source], reflectors: Mapping[Source, Reflector]
) -> Mapping[str, Mapping[Key, Object]] | None:
    """The objects by role; None while one of the sources has not been listed."""
    joined: dict[str, dict[Key, Object]] = {}
    for source in needed:
        reflector = reflectors.get(source)
        objects = reflector.objects() if reflector else None
        if objects is None:
            return None
        joined.setdefault(source.role, {}).update(objects)
    return joined


def _text(found: Iterable[Labels]) -> str:
    """Targets as Prometheus reads them: each is a group of its own, since each has labels of its own.

    https://prometheus.io/docs/prometheus/latest/configuration/configuration/#file_sd_config
    """
    groups = [
        {"targets": [one[ADDRESS]], "labels": {name: value for name, value in one.items() if name != ADDRESS}}
        for one in found
    ]
    return json.dumps(groups, indent=1)


def _replace(path: Path, text: str) -> None:
    """Prometheus may read at any time: it finds the old content or the new."""
    beside = path.with_suffix(".new")
    beside.write_text(text, encoding="utf-8")
    beside.replace(path)
