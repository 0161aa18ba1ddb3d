"""The node's own network: the lab's root network namespace, before the first pod.

Pods are routed to each other and to the node; nothing leads out of the lab. The kernel's settings apply to this
network namespace only.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from mesh_lab.kube.config import SecondFamily

TIME_LIMIT_SECONDS = 10.0

SETTINGS = {
    "net/ipv4/ip_forward": "1",
    # Packets from pods arrive on many devices with source addresses that the kernel has no reason to doubt.
    "net/ipv4/conf/all/rp_filter": "0",
    "net/ipv4/conf/default/rp_filter": "0",
    # A pod that a Service leads back to itself gets its packets on the device that they came from.
    "net/ipv4/conf/all/send_redirects": "0",
    "net/ipv4/conf/default/send_redirects": "0",
    # "No such pod" and "no such service" reach every client, not one a second.
    "net/ipv4/icmp_ratelimit": "0",
    # A relay or a load test opens many connections to one endpoint.
    "net/ipv4/ip_local_port_range": "10000 65000",
}

SETTINGS_OF_IPV6 = {
    "net/ipv6/conf/all/disable_ipv6": "0",
    "net/ipv6/conf/default/disable_ipv6": "0",
    "net/ipv6/conf/all/forwarding": "1",
    # No addresses by themselves, which would ask after each other on every device.
    "net/ipv6/conf/default/addr_gen_mode": "1",
    "net/ipv6/icmp/ratelimit": "0",
}
"""Those of a lab with both families."""


class NodeNetworkError(Exception):
    """A part of the node's network could not be set up."""


def commands(node_address: str, dns_address: str, pod_cidr: str, service_cidr: str, balancers: str) -> str:
    """Return the set-up as an idempotent script for `ip -batch`.

    The addresses are on the loopback device, since not every kernel has dummy ones; the node's own comes first, since
    the kernel takes the first one for what the node sends without saying from where. The service range needs a route,
    or packets from the node would never reach the hook that rewrites them; the load balancers' addresses have one, or
    packets would have a source of the loopback network, which never leaves. The pods' range is unreachable but for the
    routes of living pods, so that a client of a dead one learns it at once.
    """
    return f"""\
link set lo up
address replace {node_address}/32 dev lo
address replace {dns_address}/32 dev lo
route replace {service_cidr} dev lo src {node_address}
route replace {balancers} dev lo src {node_address} table local
route replace unreachable {pod_cidr}
"""


def commands_of_ipv6(family: SecondFamily) -> str:
    """Return the same for IPv6, which knows no routes to others over the loopback device: Services are local there.

    What no rule rewrites therefore arrives at the node itself, where the rules refuse it.
    """
    return f"""\
address replace {family.node_address}/128 dev lo nodad
route replace local {family.service_cidr} dev lo src {family.node_address}
route replace unreachable {family.pod_cidr} dev lo
"""


def prepare_node(
    node_address: str,
    dns_address: str,
    pod_cidr: str,
    service_cidr: str,
    balancers: str,
    ipv6: SecondFamily | None = None,
) -> None:
    """Set up the network namespace of this process as the node's. Call once, before anything listens or any pod starts.

    Raises:
        NodeNetworkError: what failed, in the words of `ip` or with the name of the setting.
    """
    for name, value in (SETTINGS if ipv6 is None else {**SETTINGS, **SETTINGS_OF_IPV6}).items():
        try:
            Path("/proc/sys", name).write_text(value)
        except OSError as error:
            raise NodeNetworkError(f"cannot set {name.replace('/', '.')} to {value}: {error.strerror}") from error
    script = commands(node_address, dns_address, pod_cidr, service_cidr, balancers)
    if ipv6 is not None:
        script += commands_of_ipv6(ipv6)
    try:
        done = subprocess.run(
            ["ip", "-batch", "-"], input=script, text=True, capture_output=True, timeout=TIME_LIMIT_SECONDS, check=False
        )
    except FileNotFoundError:
        raise NodeNetworkError("the program `ip` is missing; install the package iproute2") from None
    except subprocess.TimeoutExpired:
        raise NodeNetworkError(f"`ip -batch` did not end within {TIME_LIMIT_SECONDS:.0f} s") from None
    if done.returncode:
        raise NodeNetworkError(f"cannot set up the node's network: {done.stderr.strip()}")
