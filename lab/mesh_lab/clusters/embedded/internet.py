"""The internet of a lab: the names that Istio's tasks call, with those of `lab.toml`, as the kube process wants them.

Each name has an address of 198.18.0.0/15 (RFC 2544: networks that are tested apart from all others), which no range of
the cluster has a part in.
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

import msgspec

from mesh_lab.errors import LabError
from mesh_lab.settings import Internet, Site, place

RANGE = IPv4Network("198.18.0.0/15")
MOST_SITES = 1000
_FIRST = IPv4Address("198.18.1.1")
_NOT_OUTSIDE = tuple(map(IPv4Network, ("0.0.0.0/8", "10.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/3")))
"""Of the cluster itself, of each machine, and of none."""

SITES: Mapping[str, Site] = {
    "httpbin.org": Site(serves="httpbin"),
    "www.google.com": Site(title="Google"),
    "edition.cnn.com": Site(title="Breaking News", https_only=True),
    "en.wikipedia.org": Site(title="Wikipedia, the free encyclopedia", https_only=True),
    "de.wikipedia.org": Site(title="Wikipedia – Die freie Enzyklopädie", https_only=True),
    "*.wikipedia.org": Site(
        title="Wikipedia",
        https_only=True,
        # Istio's task of Services with endpoints names these; they are Wikipedia's own.
        addresses=("198.35.26.96", "208.80.153.224"),
    ),
    "raw.githubusercontent.com": Site(serves="files"),
    "www.googleapis.com": Site(),
    "api.dropboxapi.com": Site(),
    "istio.io": Site(title="Istio"),
}
"""What tasks and operations guides of Istio's documentation call."""


def sites(settings: Internet, directory: Path) -> list[dict[str, Any]] | None:
    """Return what the kube process is to serve outside of the cluster; None when there is to be nothing.

    Paths of files are relative to `directory`, where `lab.toml` is.

    Raises:
        LabError: there are too many names, a directory is missing, or two names ask for one address.
    """
    if not settings.enabled:
        return None
    wanted = {**SITES, **settings.hosts}
    if len(wanted) > MOST_SITES:
        where = place(directory, "internet", "hosts")
        raise LabError(f"{where}: {len(settings.hosts)} names are too many; {MOST_SITES} fit", exit_code=2)
    found: list[dict[str, Any]] = []
    taken: dict[str, str] = {}
    for number, (name, site) in enumerate(wanted.items()):
        if site.serves == "nothing":
            continue
        own = str(_FIRST + number)
        for address in (own, *site.addresses):
            _check(directory, name, address, taken.get(address))
            taken[address] = name
        found.append(
            msgspec.structs.asdict(site)
            | {"name": name, "addresses": (own, *site.addresses), "root": _root(name, site.root, directory)}
        )
    return found


def _check(directory: Path, name: str, address: str, owner: str | None) -> None:
    def refused(why: str, hint: str = "") -> LabError:
        where = place(directory, "internet", "hosts", name, "addresses")
        return LabError(f"{where}: {address} {why}", hint=hint, exit_code=2)

    try:
        parsed = IPv4Address(address)
    except ValueError:
        raise refused("is not an IPv4 address") from None
    if owner is not None:
        raise refused(f"is already that of {owner}")
    if any(parsed in network for network in _NOT_OUTSIDE):
        raise refused(
            "is not an address of the internet",
            f"Any public address will do, or leave it out: each name has one of {RANGE} anyway.",
        )


def _root(name: str, root: str, directory: Path) -> str:
    if not root:
        return ""
    path = directory / Path(root).expanduser()
    if not path.is_dir():
        raise LabError(f"{place(directory, 'internet', 'hosts', name, 'root')}: {path} is not a directory")
    return str(path.resolve())
