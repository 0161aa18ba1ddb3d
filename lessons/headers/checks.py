"""The checks of the lesson on headers: which version answers which requests."""

from __future__ import annotations

from mesh_lab.learn.checking import Given, expect
from mesh_lab.testing import Mesh, assert_all

COUNT = 20


def task_1(mesh: Mesh, given: Given) -> None:
    """The header's value decides, and nothing else does."""
    _by_header(mesh, given, "/")


def task_2(mesh: Mesh, given: Given) -> None:
    """The path decides before the header does."""
    _by_header(mesh, given, "/")
    look = f"`kubectl -n {mesh.namespace} get virtualservices -o yaml`: which rule comes first"
    header, value, path = str(given["header"]), str(given["value"]), str(given["path"])
    with expect(f"a request to {path} is answered by v1, with {header}: {value} as well", look=look):
        assert_all(mesh.client().send(f"http://shop{path}/cart", COUNT, headers={header: value}), version="v1")
        assert_all(mesh.client().send(f"http://shop{path}/cart", COUNT), version="v1")


def _by_header(mesh: Mesh, given: Given, path: str) -> None:
    header, value = str(given["header"]), str(given["value"])
    url, client = f"http://shop{path}", mesh.client()
    look = f"`kubectl -n {mesh.namespace} get virtualservices -o yaml`: match, and the order of the rules"
    with expect("a request without the header is answered by v1", look=look):
        assert_all(client.send(url, COUNT), version="v1")
    with expect(f"a request with {header}: {value} is answered by v2", look=look):
        assert_all(client.send(url, COUNT, headers={header: value}), version="v2")
    with expect(f"a request with another value of {header} is answered by v1", look=look):
        assert_all(client.send(url, COUNT, headers={header: f"not-{value}"}), version="v1")
