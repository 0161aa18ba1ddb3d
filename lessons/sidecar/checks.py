"""The checks of the lesson on sidecars: which pods have one, by what the requests went through."""

from __future__ import annotations

from collections.abc import Collection

from mesh_lab.learn.checking import Given, expect
from mesh_lab.testing import Mesh, Result, assert_all, eventually

VERSIONS = frozenset({"v1", "v2", "v3"})
COUNT, SECONDS = 60, 5.0


def task_1(mesh: Mesh, given: Given) -> None:
    """Requests to each version come from one proxy and arrive at another."""
    _through_proxies(mesh, VERSIONS)


def task_2(mesh: Mesh, given: Given) -> None:
    """One version is reached without a proxy of its own."""
    out = str(given["out"])
    _through_proxies(mesh, VERSIONS - {out})
    with expect(f"requests reach {out} in plaintext, without a sidecar", look=_look(mesh)):
        seen = _identities(mesh)
        assert seen.get(out) == {None}, f"{out} was called by {_named(seen.get(out, set()))}: it has a sidecar"


def _through_proxies(mesh: Mesh, wanted: Collection[str]) -> None:
    identity = f"spiffe://cluster.local/ns/{mesh.namespace}/sa/client"
    with expect(f"client's requests reach {', '.join(sorted(wanted))} from proxy to proxy", look=_look(mesh)):
        assert mesh.pods("client")[0]["metadata"].get("annotations", {}).get("sidecar.istio.io/status"), (
            "client has no sidecar: nothing catches what it sends"
        )
        eventually(lambda: set(_identities(mesh)) == VERSIONS, timeout=SECONDS, why="all three versions answer")
        seen = _identities(mesh)
        for version in sorted(wanted):
            assert seen[version] == {identity}, f"{version} was called by {_named(seen[version])}: it has no sidecar"


def _identities(mesh: Mesh) -> dict[str, set[str | None]]:
    """Whom the pods of each version saw: a server's proxy tells its program by a header."""
    results = mesh.client().send("http://shop/", COUNT, show_body=True, new_connections=True)
    assert_all(results)
    found: dict[str, set[str | None]] = {}
    for result in results:
        found.setdefault(result.version, set()).add(_identity(result))
    return found


def _identity(result: Result) -> str | None:
    identity: str | None = result.json["client"]["identity"]
    return identity


def _named(identities: Collection[str | None]) -> str:
    return ", ".join(sorted(each or "a client without a name" for each in identities)) or "nobody"


def _look(mesh: Mesh) -> str:
    return f"`kubectl -n {mesh.namespace} get pods -L version,sidecar.istio.io/inject`: READY is 2/2 with a sidecar"
