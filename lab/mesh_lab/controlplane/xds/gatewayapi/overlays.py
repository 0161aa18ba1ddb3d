"""Overlays on what is deployed for a Gateway: strategic merge patches, in ConfigMaps.

`infrastructure.parametersRef` names one in the Gateway's namespace; one of the root namespace is for all Gateways of
the class that its label `gateway.istio.io/defaults-for-class` names, and comes first.
https://istio.io/latest/docs/tasks/traffic-management/ingress/gateway-api/#infrastructure-attachment
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

Object = dict[str, Any]

# Lists of objects, by their fields' names, and what tells their entries apart; other lists are replaced.
_KEYS: Mapping[str, tuple[str, ...]] = {
    "containers": ("name",),
    "initContainers": ("name",),
    "volumes": ("name",),
    "env": ("name",),
    "volumeMounts": ("mountPath",),
    "ports": ("containerPort", "port"),
    "imagePullSecrets": ("name",),
    "hostAliases": ("ip",),
    "topologySpreadConstraints": ("topologyKey",),
}
_DIRECTIVE = "$patch"
_FIXED = ("name", "namespace", "ownerReferences")
"""What of an object's metadata an overlay cannot change: the Gateway would not own it any more."""


def read(key: str, text: str) -> Object:
    """The overlay under a key of a ConfigMap.

    Raises:
        ValueError: it is no overlay, or has directives that are not understood.
    """
    try:
        found = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(f"{key}: it is no YAML: {' '.join(str(error).split())}") from None
    if not isinstance(found, dict):
        raise ValueError(f"{key}: it is no object")  # noqa: TRY004 - a mistake of the user's
    unknown = sorted(name for name in _directives(found) if name != _DIRECTIVE)
    if unknown:
        raise ValueError(f"{key}: the lab knows {_DIRECTIVE}, and not {', '.join(unknown)}")
    if wrong := [name for name in _FIXED if name in (found.get("metadata") or {})]:
        raise ValueError(f"{key}: metadata.{wrong[0]} cannot be changed")
    return found


def _directives(value: Any) -> set[str]:
    if isinstance(value, Mapping):
        own = {name for name in value if isinstance(name, str) and name.startswith("$")}
        return own.union(*(_directives(each) for each in value.values()))
    return set().union(*(_directives(each) for each in value)) if isinstance(value, list) else set()


def merged(base: Object, overlay: Mapping[str, Any]) -> Object:
    """An object with an overlay: null takes a field away, objects are merged, and lists of some names by their keys."""
    if overlay.get(_DIRECTIVE) == "replace":
        return {name: value for name, value in overlay.items() if name != _DIRECTIVE}
    made = dict(base)
    for name, value in overlay.items():
        before = made.get(name)
        if value is None:
            made.pop(name, None)
        elif isinstance(value, Mapping):
            made[name] = merged(before if isinstance(before, dict) else {}, value)
        elif isinstance(value, list) and name in _KEYS and all(isinstance(each, dict) for each in value):
            made[name] = _list(before if isinstance(before, list) else [], value, _KEYS[name])
        elif name != _DIRECTIVE:
            made[name] = value
    return made


def _list(base: list[Object], overlay: list[Object], keys: tuple[str, ...]) -> list[Object]:
    if any(each.get(_DIRECTIVE) == "replace" for each in overlay):
        return [each for each in overlay if _DIRECTIVE not in each]
    made = list(base)
    for each in overlay:
        key = next((key for key in keys if key in each), keys[0])
        at = next((i for i, known in enumerate(made) if key in each and known.get(key) == each[key]), None)
        if each.get(_DIRECTIVE) == "delete":
            made = [known for i, known in enumerate(made) if i != at]
        elif at is None:
            made.append(merged({}, each))
        else:
            made[at] = merged(made[at], each)
    return made
