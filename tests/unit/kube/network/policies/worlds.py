"""Policies and pods for tests, and random ones of small worlds in which they meet often."""

from __future__ import annotations

import random
from typing import Any

import msgspec

from mesh_lab.kube.network.policies.model import Member, NamedPort, World
from mesh_lab.kube.objects.meta import LabelSelector
from mesh_lab.kube.objects.policies import NetworkPolicy

Object = dict[str, Any]
NAMESPACES = {"a": {"team": "red"}, "b": {"team": "blue"}, "c": {"team": "red", "tier": "web"}}
VALUES = ("web", "db")
PORTS = (80, 81, 443, 8080)
NAMES = ("http", "admin")
PROTOCOLS = ("TCP", "UDP", "SCTP")
BLOCKS = ("0.0.0.0/0", "10.244.0.0/24", "10.244.0.2/31", "10.244.0.4/30", "192.0.2.0/24", "fd00::/8", "10.244.0.3/32")
OUTSIDE = "192.0.2.7"


def policy(
    name: str = "p", namespace: str = "a", *, select: Object | None = None, types: tuple[str, ...] = (), **rules: Any
) -> NetworkPolicy:
    """A policy with its default types, as it is stored."""
    types = types or (("Ingress", "Egress") if rules.get("egress") else ("Ingress",))
    spec = {"podSelector": select or {}, "policyTypes": list(types), **rules}
    return msgspec.convert(
        {"metadata": {"name": name, "namespace": namespace, "uid": name}, "spec": spec}, NetworkPolicy
    )


def labels(**wanted: str) -> Object:
    """A selector of labels."""
    return {"matchLabels": wanted}


def pod(number: int, namespace: str = "a", *ports: NamedPort, **own: str) -> Member:
    """A pod with the address 10.244.0.NUMBER."""
    return Member(namespace, own, (f"10.244.0.{number}",), ports)


def world(*members: Member) -> World:
    """A world of these pods in the three namespaces."""
    return World(members, NAMESPACES)


def random_world(dice: random.Random, pods: int = 6) -> World:
    """Pods with addresses from 10.244.0.2 on."""
    return world(*(_random_pod(dice, number + 2) for number in range(pods)))


def random_policies(dice: random.Random, most: int = 4) -> tuple[NetworkPolicy, ...]:
    """Policies of all sorts."""
    return tuple(_random_policy(dice, f"p{number}") for number in range(dice.randint(0, most)))


def _random_pod(dice: random.Random, number: int) -> Member:
    own = {key: dice.choice(VALUES) for key in ("app", "zone") if dice.random() < 0.7}
    ports = [NamedPort(name, dice.choice(PROTOCOLS).lower(), dice.choice(PORTS)) for name in NAMES]
    return pod(number, dice.choice(list(NAMESPACES)), *dice.sample(ports, dice.randint(0, 2)), **own)


def _random_policy(dice: random.Random, name: str) -> NetworkPolicy:
    types = dice.choice([("Ingress",), ("Egress",), ("Ingress", "Egress")])
    rules = {
        field: [_random_rule(dice, peers) for _ in range(dice.randint(0, 2))]
        for field, peers in (("ingress", "from"), ("egress", "to"))
    }
    return policy(name, dice.choice(list(NAMESPACES)), select=_random_selector(dice), types=types, **rules)


def _random_rule(dice: random.Random, peers: str) -> Object:
    rule: Object = {}
    if dice.random() < 0.7:
        rule[peers] = [_random_peer(dice) for _ in range(dice.randint(0, 2))]
    if dice.random() < 0.6:
        rule["ports"] = [_random_port(dice) for _ in range(dice.randint(0, 2))]
    return rule


def _random_peer(dice: random.Random) -> Object:
    kind = dice.randrange(4)
    if kind == 0:
        cidr = dice.choice(BLOCKS)
        holes = [each for each in BLOCKS[2:] if cidr in BLOCKS[:2] and ":" not in each]
        return {"ipBlock": {"cidr": cidr, "except": dice.sample(holes, dice.randint(0, min(2, len(holes))))}}
    peer = {}
    if kind in (1, 3):
        peer["podSelector"] = _random_selector(dice)
    if kind in (2, 3):
        peer["namespaceSelector"] = dice.choice([{}, labels(team="red"), {"matchExpressions": [_term(dice, "tier")]}])
    return peer


def _random_port(dice: random.Random) -> Object:
    port: Object = {"protocol": dice.choice(PROTOCOLS)}
    kind = dice.randrange(4)
    if kind == 1:
        port["port"] = dice.choice(NAMES)
    elif kind:
        port["port"] = dice.choice(PORTS)
        if kind == 2:
            port["endPort"] = dice.choice([each for each in PORTS if each >= port["port"]])
    return port


def random_selector(dice: random.Random) -> LabelSelector:
    """A selector of pods."""
    return msgspec.convert(_random_selector(dice), LabelSelector)


def _random_selector(dice: random.Random) -> Object:
    kind = dice.randrange(3)
    if kind == 0:
        return {}
    if kind == 1:
        return labels(app=dice.choice(VALUES))
    return {"matchExpressions": [_term(dice, dice.choice(("app", "zone")))]}


def _term(dice: random.Random, key: str) -> Object:
    operator = dice.choice(["In", "NotIn", "Exists", "DoesNotExist"])
    return {"key": key, "operator": operator, "values": [dice.choice(VALUES)] if "In" in operator else []}
