"""The rules of redirection, and that nft takes them."""

from __future__ import annotations

import shutil
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh_lab.controlplane.injection.redirection import Interception, command, from_annotations, ruleset

PREFIX = "traffic.sidecar.istio.io/"


def test_annotations_leave_ports_and_ranges_out() -> None:
    interception = from_annotations(
        {
            f"{PREFIX}excludeInboundPorts": "22, 9090",
            f"{PREFIX}excludeOutboundPorts": "3306",
            f"{PREFIX}excludeOutboundIPRanges": "10.1.0.0/16,10.2.3.4",
        }
    )
    rules = ruleset(interception)
    assert "15021, 15090, 22, 9090 } return" in rules
    assert "tcp dport { 3306 } return" in rules
    assert "ip daddr { 10.1.0.0/16, 10.2.3.4/32 } return" in rules


def test_what_is_for_another_pods_proxy_goes_past_ones_own() -> None:
    """Envoy's listeners on these ports are on all addresses: led to it, it would answer in the other's place."""
    outbound = ruleset(Interception()).partition("chain outbound")[2]
    assert outbound.index("tcp dport { 15020, 15021, 15090 } return") < outbound.index("redirect to :15001")


def test_what_a_pod_asks_of_dns_is_led_to_its_proxy_where_that_answers() -> None:
    """But for what the proxy itself asks, on behalf of the pod."""
    rule = "meta skuid != 1337 udp dport 53 redirect to :15053"
    assert rule in ruleset(from_annotations({}, dns=True))
    assert "15053" not in ruleset(from_annotations({}))


def test_in_a_cluster_of_both_families_the_same_holds_for_ipv6() -> None:
    interception = from_annotations(
        {
            f"{PREFIX}excludeOutboundIPRanges": "10.1.0.0/16,fd00:1::/32",
            f"{PREFIX}includeOutboundIPRanges": "10.0.0.0/8",
        },
        dual=True,
    )
    four, _, six = ruleset(interception).partition("table ip6 mesh_lab_redirection {}")
    assert "ip daddr { 10.1.0.0/16 } return" in four
    assert "ip6 daddr { fd00:1::/32 } return" in six
    assert 'oifname "lo" ip6 daddr != ::1 meta skuid 1337 meta l4proto tcp redirect to :15006' in six
    assert "ip6 daddr ::6 notrack" in six
    assert "redirect to :15001" in four
    assert "redirect to :15001" not in six, "what is included is of IPv4 only"
    assert "ip6" not in ruleset(from_annotations({f"{PREFIX}excludeOutboundIPRanges": "fd00:1::/32"}))


def test_the_pod_gets_the_address_by_which_its_proxy_is_known_only_where_it_has_ipv6() -> None:
    assert command(from_annotations({})) == ["nft"]
    assert "ip -6 address replace ::6/128 dev lo" in command(from_annotations({}, dual=True))[-1]


def test_only_included_ports_come_in() -> None:
    rules = ruleset(from_annotations({f"{PREFIX}includeInboundPorts": "80"}))
    assert "tcp dport { 80 } redirect to :15006" in rules
    assert "meta l4proto tcp redirect to :15006\n  }" not in rules
    none = ruleset(from_annotations({f"{PREFIX}includeInboundPorts": ""}))
    assert "redirect to :15006" not in none.partition("chain outbound")[0]
    everything = from_annotations({f"{PREFIX}includeInboundPorts": "*", f"{PREFIX}includeOutboundIPRanges": "*"})
    assert everything == Interception()


ports = st.lists(st.integers(1, 65535), max_size=5, unique=True).map(tuple)
ranges = st.lists(
    st.sampled_from(["10.0.0.0/8", "192.168.1.0/24", "1.2.3.4/32", "fd00::/8", "2001:db8::1/128"]),
    max_size=3,
    unique=True,
).map(tuple)


devices = st.lists(st.sampled_from(["net1", "eth0.5", "macvtap-2"]), max_size=2, unique=True).map(tuple)


def test_ports_are_redirected_whatever_the_address_and_interfaces_left_out() -> None:
    rules = ruleset(
        from_annotations(
            {
                f"{PREFIX}includeOutboundPorts": "443",
                f"{PREFIX}includeOutboundIPRanges": "10.0.0.0/8",
                f"{PREFIX}excludeInterfaces": "net1",
                f"{PREFIX}kubevirtInterfaces": "net2",
            }
        )
    )
    inbound, _, outbound = rules.partition("chain outbound")
    assert outbound.index("tcp dport { 443 } redirect to :15001") < outbound.index("ip daddr { 10.0.0.0/8 }")
    assert 'iifname { "net1" } return' in inbound
    assert 'oifname { "net1" } return' in outbound
    assert 'iifname { "net2" } tcp dport { 443 } redirect to :15001' in inbound


def test_what_passes_between_envoy_and_its_application_is_not_followed() -> None:
    chain = ruleset(Interception()).partition("chain untracked")[2].partition("}")[0]
    assert "type filter hook output priority -300;" in chain, "before connection tracking, at -200"
    assert chain.count("notrack") == 2
    for end in ("saddr", "daddr"):
        assert f"    ip {end} 127.0.0.6 notrack" in chain


@pytest.mark.skipif(shutil.which("nft") is None, reason="nft is not installed")
@given(
    st.builds(
        Interception,
        st.none() | ports,
        ports,
        ports,
        st.none() | ranges,
        ranges,
        ports,
        devices,
        devices,
        st.booleans(),
        st.booleans(),
    )
)
@settings(max_examples=15, deadline=None)
def test_nft_takes_whatever_annotations_ask_for(interception: Interception) -> None:
    checked = subprocess.run(
        ["unshare", "--user", "--map-root-user", "--net", "nft", "--check", ruleset(interception)],
        capture_output=True,
        text=True,
        check=False,
    )
    if "unshare" in checked.stderr:
        pytest.skip("no namespaces here")
    assert checked.returncode == 0, checked.stderr
