"""No list of Istio's kinds forgets one: each follows from the table, or is held to it here."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
import yaml

from mesh_lab.client import istiostatus
from mesh_lab.client.api import UnknownKindError
from mesh_lab.controlplane import istiokinds
from mesh_lab.controlplane.kube.kinds import FOLLOWED
from mesh_lab.harness import evidence
from mesh_lab.harness.mesh import Mesh
from mesh_lab.meshkinds import GATEWAY_API, ISTIO, KINDS, MeshKind, named, of

ROOT = Path(__file__).parents[2]
EACH = pytest.mark.parametrize("kind", ISTIO, ids=lambda kind: kind.name)
POLICIES = [kind.name for kind in ISTIO if kind.in_listeners]


def manifest(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((ROOT / "manifests" / "mesh" / name).read_text()))


def rules_of(kind: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The rules of all objects of a kind in the mesh's manifest, each with its object's or webhook's name."""
    for document in manifest("base.yaml"):
        if document["kind"] == kind:
            for owner in document.get("webhooks", [document]):
                yield from ((owner.get("name", document["metadata"]["name"]), rule) for rule in owner["rules"])


def covers(rule: dict[str, Any], kind: MeshKind, subresource: str = "") -> bool:
    resources = {"*", f"*{subresource}", kind.plural + subresource}
    return kind.group in rule["apiGroups"] and bool(resources & set(rule["resources"]))


def test_the_control_plane_has_a_model_of_exactly_these() -> None:
    assert list(istiokinds.KINDS) == [kind.name for kind in ISTIO]


@EACH
def test_the_control_plane_follows_it_by_the_stored_version(kind: MeshKind) -> None:
    assert FOLLOWED[kind.name][:4] == (kind.group, kind.versions[0], kind.plural, kind.name)
    assert FOLLOWED[kind.name].namespaced


# Without one of these requests go where they would, and nothing, nor any machine, is let in that was not.
HARMLESS = ("EnvoyFilter", "ProxyConfig", "Telemetry", "WorkloadGroup")


@EACH
def test_one_in_error_has_a_substitute_or_does_no_harm_by_its_absence(kind: MeshKind) -> None:
    of_controlplane = istiokinds.KINDS[kind.name]
    substitutes = [each for each in (of_controlplane.stand_in, of_controlplane.fail_closed) if each is not None]
    assert len(substitutes) == int(kind.acted_on and kind.name not in HARMLESS)
    assert of_controlplane.check is not None


@EACH
def test_its_definition_is_installed(kind: MeshKind) -> None:
    (spec,) = (
        each["spec"]
        for each in manifest("crds.yaml")
        if (each["spec"]["group"], each["spec"]["names"]["kind"]) == (kind.group, kind.name)
    )
    assert (spec["names"]["plural"], tuple(spec["names"].get("shortNames", ()))) == (kind.plural, kind.short)
    assert tuple(version["name"] for version in spec["versions"]) == kind.versions
    assert [version["name"] for version in spec["versions"] if version["storage"]] == [kind.versions[0]]


@EACH
def test_istiod_may_read_it_and_write_its_status(kind: MeshKind) -> None:
    rules = [rule for _, rule in rules_of("ClusterRole")]
    assert any(covers(rule, kind) and {"get", "list", "watch"} <= set(rule["verbs"]) for rule in rules)
    assert any(covers(rule, kind, "/status") and "patch" in rule["verbs"] for rule in rules)


@EACH
def test_both_validating_webhooks_are_called_for_it(kind: MeshKind) -> None:
    called = {
        name
        for name, rule in rules_of("ValidatingWebhookConfiguration")
        if covers(rule, kind)
        and {"CREATE", "UPDATE"} <= set(rule["operations"])
        and ("*" in rule["apiVersions"] or set(kind.versions) <= set(rule["apiVersions"]))
    }
    assert called == {"rev.validation.istio.io", "validation.istio.io"}


@EACH
def test_it_is_among_the_evidence_of_a_failure(kind: MeshKind) -> None:
    assert (kind.api_version, kind.name) in evidence.KINDS
    gathered = (ROOT / "tools" / "gather_evidence.sh").read_text().replace(",", " ").split()
    assert {kind.plural, f"{kind.plural}.{kind.group}"} & set(gathered)


@pytest.mark.parametrize("kind", GATEWAY_API, ids=lambda kind: kind.name)
def test_a_kind_that_users_install_is_among_the_evidence_where_it_is_there(kind: MeshKind) -> None:
    class Api:
        """A cluster with only the latest of the kind's versions."""

        def served(self, group: str, name: str, versions: tuple[str, ...]) -> str:
            if (group, name) != (kind.group, kind.name):
                raise UnknownKindError(f"no {name}")
            return f"{group}/{versions[-1]}"

        def list_all(self, api_version: str, name: str, _namespace: str) -> list[dict[str, Any]]:
            return (
                [{"apiVersion": api_version, "kind": name}] if name == kind.name and kind.group in api_version else []
            )

    summary: list[str] = []
    found = evidence._objects(Mesh(cast("Any", Api()), "shop"), summary)
    assert [each for each in found if each["apiVersion"] == f"{kind.group}/{kind.versions[-1]}"]
    assert summary == []


@EACH
def test_the_command_line_knows_it_by_each_of_its_names(kind: MeshKind) -> None:
    assert all(named(word) is kind for word in (kind.name, kind.plural, *kind.short))
    assert all(of(f"{kind.group}/{version}", kind.name) is kind for version in kind.versions)


def test_a_policy_of_a_listener_is_waited_for_until_connections_are_drained() -> None:
    assert {name for name, kind in istiokinds.KINDS.items() if kind.fail_closed is not None} <= set(POLICIES)
    proxy = {"metadata": {"name": "a"}, "spec": {"containers": [{"name": "istio-proxy"}]}}
    assert [kind.name for kind in ISTIO if istiostatus.drain_s(kind.name, [proxy]) > 0] == POLICIES


def test_a_kind_is_there_once_under_its_full_name() -> None:
    assert len({(kind.group, kind.name) for kind in KINDS}) == len(KINDS)
    assert len({(kind.group, kind.plural) for kind in KINDS}) == len(KINDS)
