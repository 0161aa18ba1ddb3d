"""The checks of the lesson on mutual TLS: whom the server saw, and whose connections it cuts."""

from __future__ import annotations

from typing import Any, NamedTuple

from mesh_lab.learn.checking import Given, expect
from mesh_lab.testing import Mesh, assert_all, assert_identity, assert_plaintext_refused

COUNT = 5


class Port(NamedTuple):
    """A port of the server: where it is called, and how."""

    url: str
    options: dict[str, Any]


PORTS = {
    8080: Port("http://shop/", {}),
    8081: Port("http://shop:81/", {"http2": True}),
    9000: Port("tcp://shop:9000", {"body": "good day"}),
}


def task_1(mesh: Mesh, given: Given) -> None:
    """Both workloads of the mesh are known by their certificates."""
    _known(mesh)


def task_2(mesh: Mesh, given: Given) -> None:
    """Whoever has no certificate is cut, on every port."""
    _known(mesh)
    for number, port in PORTS.items():
        _refused(mesh, number, port)


def task_3(mesh: Mesh, given: Given) -> None:
    """One port takes plaintext, and no other."""
    _known(mesh)
    allowed = int(given["port"])
    for number, port in PORTS.items():
        if number != allowed:
            _refused(mesh, number, port)
    look = f"`kubectl -n {mesh.namespace} get peerauthentications -o yaml`: portLevelMtls, and the selector"
    with expect(f"stranger, without a sidecar, reaches port {allowed} of the pods", look=look):
        port = PORTS[allowed]
        assert_all(mesh.client("stranger").send(port.url, COUNT, new_connections=True, **port.options))


def _known(mesh: Mesh) -> None:
    for name in ("client", "legacy"):
        identity = f"spiffe://cluster.local/ns/{mesh.namespace}/sa/{name}"
        look = (
            f"`kubectl -n {mesh.namespace} get pods -l app={name}`: has it two containers? "
            "And the modes of the PeerAuthentications and DestinationRules"
        )
        with expect(f"shop sees {name} as {identity}", look=look):
            for result in mesh.client(name).send("http://shop/", COUNT, show_body=True):
                assert_identity(result, identity)


def _refused(mesh: Mesh, number: int, port: Port) -> None:
    look = f"`kubectl -n {mesh.namespace} get peerauthentications -o yaml`: mode, selector"
    with expect(f"stranger, without a sidecar, is refused at port {number} of the pods", look=look):
        stranger = mesh.client("stranger")
        assert_plaintext_refused(stranger.send(port.url, COUNT, new_connections=True, timeout=3, **port.options))
