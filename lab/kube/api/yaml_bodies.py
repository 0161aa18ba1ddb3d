"""Request bodies in YAML, as the JSON that they stand for.

YAML can say what JSON cannot: keys that are no text, dates, values that contain themselves, and a few lines that stand
for gigabytes. None of it may get past here, for all that comes after takes objects for JSON.
"""

from __future__ import annotations

from typing import Any

import orjson
import yaml

MOST_VALUES = 1_000_000
"""How many values a body may hold once its aliases are written out: far more than fit into one that is not a bomb."""

_TIMESTAMP = "tag:yaml.org,2002:timestamp"


class YamlBodyError(ValueError):
    """The body is not YAML, or stands for no JSON."""


class _Loader(yaml.SafeLoader):
    """Takes dates for the text that they are written as, like Kubernetes' decoder."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != _TIMESTAMP]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def decode(body: bytes) -> Any:
    """The JSON value that the body stands for.

    Raises:
        YamlBodyError: it cannot be read, or stands for no JSON value.
    """
    try:
        value = yaml.load(body, _Loader)
        if _count(value, {}) > MOST_VALUES:
            raise YamlBodyError("the document contains excessive aliasing")
        # Keys become text: `1: x` means what `"1": x` does.
        return orjson.loads(orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS))
    except RecursionError as error:
        raise YamlBodyError("it is nested too deeply") from error
    except (yaml.YAMLError, UnicodeDecodeError, orjson.JSONEncodeError, ValueError) as error:
        raise YamlBodyError(str(error)) from error


def _count(value: Any, known: dict[int, int]) -> int:
    """How many values there are with aliases written out. What an alias leads to is counted once and added often."""
    if not isinstance(value, dict | list | set | tuple):
        return 1
    found = known.get(id(value))
    if found is None:
        known[id(value)] = MOST_VALUES + 1  # what contains itself has no end
        inner = value.values() if isinstance(value, dict) else value
        found = known[id(value)] = 1 + sum(_count(one, known) for one in inner)
    return found
