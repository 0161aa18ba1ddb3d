"""Rules of a pod's volumes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mesh_lab.kube.errors import Cause
from mesh_lab.kube.registry.podspec.containers import check_relative
from mesh_lab.kube.registry.rules.causes import duplicates, forbidden, invalid, required
from mesh_lab.kube.registry.syntax.names import label_problem

_PROJECTED = ("secret", "configMap", "downwardAPI", "serviceAccountToken", "clusterTrustBundle", "podCertificate")


def check_volumes(volumes: list[dict[str, Any]], path: str) -> Iterator[Cause]:
    """Everything that is wrong with a pod's volumes."""
    for index, volume in enumerate(volumes):
        where = f"{path}[{index}]"
        name = volume.get("name")
        if name and (problem := label_problem(name)):
            yield invalid(f"{where}.name", name, problem)
        sources = [field for field in volume if field != "name"]
        for field in sources[1:]:
            yield forbidden(f"{where}.{field}", "may not specify more than 1 volume type")
        yield from _check_source(volume, where)
    yield from duplicates((volume.get("name") for volume in volumes), path, "name")


def _check_source(volume: dict[str, Any], path: str) -> Iterator[Cause]:
    if (secret := volume.get("secret")) is not None:
        if not secret.get("secretName"):
            yield required(f"{path}.secret.secretName")
        yield from _check_items(secret, f"{path}.secret")
    if (config_map := volume.get("configMap")) is not None:
        if not config_map.get("name"):
            yield required(f"{path}.configMap.name")
        yield from _check_items(config_map, f"{path}.configMap")
    if (downward := volume.get("downwardAPI")) is not None:
        yield from _check_downward(downward, f"{path}.downwardAPI")
    for index, source in enumerate((volume.get("projected") or {}).get("sources") or ()):
        yield from _check_projection(source, f"{path}.projected.sources[{index}]")


def _check_projection(source: dict[str, Any], path: str) -> Iterator[Cause]:
    given = [field for field in _PROJECTED if field in source]
    if not given:
        yield required(path, "must specify a projected volume type")
    for field in given[1:]:
        yield forbidden(f"{path}.{field}", "may not specify more than 1 volume type")
    for field in ("secret", "configMap"):
        if field in source:
            if not source[field].get("name"):
                yield required(f"{path}.{field}.name")
            yield from _check_items(source[field], f"{path}.{field}")
    if "downwardAPI" in source:
        yield from _check_downward(source["downwardAPI"], f"{path}.downwardAPI")
    if "serviceAccountToken" in source:
        token = source["serviceAccountToken"]
        yield from check_relative(token.get("path", ""), f"{path}.serviceAccountToken.path")


def _check_items(source: dict[str, Any], path: str) -> Iterator[Cause]:
    for index, item in enumerate(source.get("items") or ()):
        yield from check_relative(item.get("path", ""), f"{path}.items[{index}].path")


def _check_downward(source: dict[str, Any], path: str) -> Iterator[Cause]:
    yield from _check_items(source, path)
    for index, item in enumerate(source.get("items") or ()):
        where = f"{path}.items[{index}]"
        given = [field for field in ("fieldRef", "resourceFieldRef") if field in item]
        if not given:
            yield required(where, "one of fieldRef and resourceFieldRef is required")
        elif len(given) > 1:
            yield invalid(where, "resource", "fieldRef and resourceFieldRef can not be specified simultaneously")
