"""What the behaviours share: two versions of a server, a client whose proxy records, and the Gateway API on demand."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from mesh_lab.testing import Api, Mesh, Object, Reference

from .writing import GATEWAY_KINDS, OPTIONAL, SPOKEN, Spoken, has_field, version_services


@pytest.fixture(scope="module")
def shop(canary: Mesh) -> Iterator[Mesh]:
    """Two versions, each a subset and a Service, behind one; proxies record from the first request on."""
    canary.apply(version_services())
    for version in ("v1", "v2"):
        canary.wait_endpoints(f"echo-{version}", 1)
    with canary.recording():
        yield canary


@pytest.fixture
def spoken(protocol: str) -> Spoken:
    """How the protocol of the case is spoken."""
    return SPOKEN[protocol]


@pytest.fixture(autouse=True)
def understood(request: pytest.FixtureRequest) -> None:
    """The definitions of the Gateway API, for a case in its words; skips what the cluster's definitions do not have."""
    parameters = request.node.callspec.params if hasattr(request.node, "callspec") else {}
    api = parameters.get("api", "")
    if api not in GATEWAY_KINDS:
        return
    request.getfixturevalue("gateway_api")
    name = f"{api}s.gateway.networking.k8s.io"
    definition = _definition(request.getfixturevalue("mesh_api"), name)
    needed = [OPTIONAL.get((marker.args[0], api)) for marker in request.node.iter_markers("mesh_feature")]
    for field in filter(None, needed):
        if not has_field(definition, field):
            annotations = definition["metadata"].get("annotations", {})
            release = annotations.get("gateway.networking.k8s.io/bundle-version", "an unknown release")
            pytest.skip(f"the cluster's {name} ({release}) have no spec.{'.'.join(field)}")


def _definition(api: Api, name: str) -> Object:
    definition = api.find(Reference("apiextensions.k8s.io/v1", "CustomResourceDefinition", name))
    if definition is None:
        pytest.skip(f"the cluster has no {name}: apply the experimental-install.yaml of one of its releases")
    served = [each["name"] for each in definition["spec"]["versions"] if each["served"]]
    if "v1" not in served:
        pytest.skip(f"the cluster serves {name} as {', '.join(served)}, and not as v1, as these tests write it")
    return definition
