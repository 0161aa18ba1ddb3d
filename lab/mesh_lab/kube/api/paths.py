"""What a request's path names: a resource's collection, an object, or a subresource of it.

`/api/v1/...` is the core group, `/apis/GROUP/VERSION/...` all others; then
`[namespaces/NAMESPACE/]PLURAL[/NAME[/SUBRESOURCE[/REST]]]`. Trailing slashes are ignored.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import unquote

_NAMESPACE_SUBRESOURCES = frozenset({"status", "finalize"})


@dataclass(frozen=True)
class Target:
    """Where a request goes. `namespace` None means all of them, or a cluster-wide resource; `rest` is what follows a
    proxy subresource, still percent-encoded.
    """

    group: str
    version: str
    plural: str
    namespace: str | None = None
    name: str = ""
    subresource: str = ""
    rest: str = ""


def parse(raw_path: str) -> Target | None:
    """The target of a percent-encoded path, or None when it is not one of a resource."""
    segments = raw_path.split("/")[1:]
    if segments[0] == "api" and len(segments) > 2:
        group, version, tail = "", segments[1], segments[2:]
    elif segments[0] == "apis" and len(segments) > 3:
        group, version, tail = segments[1], segments[2], segments[3:]
    else:
        return None
    namespace: str | None = None
    if tail[0] == "namespaces" and len(tail) > 2 and tail[2] and not (not group and tail[2] in _NAMESPACE_SUBRESOURCES):
        namespace, tail = unquote(tail[1]), tail[2:]
    plural, name, subresource, *rest = [*tail, "", "", ""][: max(len(tail), 3)]
    if not plural or (rest and subresource != "proxy" and any(rest)):
        return None
    target_rest = "/".join(tail[3:]) if len(tail) > 3 else ""
    return Target(group, version, plural, namespace, unquote(name), subresource, target_rest)
