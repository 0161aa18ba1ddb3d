"""The checks of the lesson on faults: how many requests are disturbed, and whose."""

from __future__ import annotations

from mesh_lab.learn.checking import Given, expect
from mesh_lab.testing import Mesh, assert_aborted, assert_all, assert_delayed, assert_latency

URL = "http://shop/"
MANY, SOME, FEW = 400, 60, 30


def task_1(mesh: Mesh, given: Given) -> None:
    """The share and the status are those of the variant, and the server is not asked for what is aborted."""
    percent, status = int(given["percent"]), int(given["status"])
    look = f"`kubectl -n {mesh.namespace} get virtualservices -o yaml`: fault.abort, its percentage and httpStatus"
    server = mesh.echo("shop")
    server.reset()
    with expect(f"{percent} % of the requests get {status}, and all others 200", look=look):
        results = mesh.client().send(URL, MANY, concurrency=10)
        assert_aborted(results, status, share=percent / 100)
    with expect("the server is asked for those only that it answers", look=look):
        served, asked = len(results.with_status(200)), int(server.counts()["total"])
        assert asked == served, f"the server was asked {asked} times for {served} requests that it answered"


def task_2(mesh: Mesh, given: Given) -> None:
    """The header decides who is slow; nobody gets an error."""
    header, delay = str(given["header"]), float(given["delay"])
    client = mesh.client()
    look = f"`kubectl -n {mesh.namespace} get virtualservices -o yaml`: fault, and the match of its rule"
    with expect(f"a request without {header} is answered at once", look=look):
        others = client.send(URL, SOME, concurrency=SOME)
        assert_all(others)
        assert_latency(others, 0.5, under_s=delay)
    with expect(f"a request with another value of {header} is answered at once", look=look):
        others = client.send(URL, SOME, concurrency=SOME, headers={header: "no"})
        assert_all(others)
        assert_latency(others, 0.5, under_s=delay)
    with expect(f"a request with {header}: yes is served after {delay:g} s", look=look):
        slow = client.send(URL, FEW, concurrency=FEW, headers={header: "yes"})
        assert_all(slow)
        assert_delayed(slow, delay)
        assert_latency(slow, 0.5, under_s=2 * delay)
