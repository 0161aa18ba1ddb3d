"""Whether this machine has IPv6, which a lab of two families needs: `ip_family = "dual"`."""

from __future__ import annotations

import socket
from pathlib import Path

from mesh_lab.clusters.embedded.namespaces import Obstacle

_SWITCH = "proc/sys/net/ipv6/conf/all/disable_ipv6"
_OTHERWISE = 'or leave `ip_family = "dual"` out: the lab comes up with IPv4 only'


def obstacles(root: Path = Path("/")) -> list[Obstacle]:
    """Return what keeps a lab from having IPv6 here; empty when it should work."""
    try:
        disabled = (root / _SWITCH).read_text(encoding="ascii").strip() != "0"
    except OSError:
        disabled = None
    if disabled is None or not _has_sockets():
        return [
            Obstacle(
                'ip_family is "dual", and this machine\'s kernel has no IPv6',
                f"start it without ipv6.disable=1, or load the module ipv6; {_OTHERWISE}",
            )
        ]
    if disabled:
        return [
            Obstacle(
                'ip_family is "dual", and IPv6 is switched off (net.ipv6.conf.all.disable_ipv6 is 1)',
                f"sudo sysctl -w net.ipv6.conf.all.disable_ipv6=0; {_OTHERWISE}",
            )
        ]
    return []


def _has_sockets() -> bool:
    try:
        socket.socket(socket.AF_INET6, socket.SOCK_STREAM).close()
    except OSError:
        return False
    return True
