"""The checks of the lesson on circuit breakers: what is let through, and which pod is left out."""

from __future__ import annotations

import contextlib
from collections import Counter

from mesh_lab.harness.traffic import EchoControl
from mesh_lab.learn.checking import Given, expect
from mesh_lab.testing import Mesh, Object, Reference, assert_all, assert_ejected, assert_no_errors, eventually, total

HELD = "http://shop/hold?limit=20"
REFUSED = r"shop.*upstream_rq_pending_overflow"
EJECTIONS = r"stock.*outlier_detection.ejections_active"
RATE, LATE = 30.0, 3
"""Requests a second, and failures that may come until an ejection is carried out: one in 0.1 s."""
MOMENT, NEW_SECONDS = 3.0, 20.0
"""Seconds until a proxy of a busy machine has done what it does at once."""


def prepare(mesh: Mesh, given: Given) -> None:
    """One pod of stock is ill."""
    _ill(mesh, given).answer_all_with(500)


def task_1(mesh: Mesh, given: Given) -> None:
    """One request is with the server, some wait, all others are refused at once."""
    pending, at_once = int(given["pending"]), int(given["at_once"])
    look = f"`kubectl -n {mesh.namespace} get destinationrules -o yaml`: connectionPool.tcp and connectionPool.http"
    refused = at_once - 1 - pending
    with expect(f"of {at_once} requests at once 1 is served, {pending} wait, and {refused} get 503", look=look):
        _overflowing(mesh, pending, at_once)


def task_2(mesh: Mesh, given: Given) -> None:
    """The pod that fails is left out, and the others serve all requests."""
    errors, client = int(given["errors"]), mesh.client()
    look = f"`kubectl -n {mesh.namespace} get destinationrules -o yaml`: outlierDetection, and its host"
    ill = _freshly_ill(mesh, given)
    with expect(f"after {errors} failures in a row {ill}, and no other pod, is left out", look=look):
        # Slowly: Envoy's main thread ejects, and while that is busy its worker goes on to send.
        first = client.send("http://stock/", 15 * errors, rate=RATE)
        failed, out = len(first.with_status(500)), _left_out(mesh)
        assert out == 1, f"{out} pods of stock are left out, after {failed} of {len(first)} requests had failed"
        assert errors <= failed <= errors + LATE, f"{ill} was left out after {failed} failures"
        results = client.send("http://stock/", 60)
        assert_no_errors(results)
        assert_ejected(results, ill)


def _freshly_ill(mesh: Mesh, given: Given) -> str:
    """A pod that is ill, of which the proxy of client has not seen a failure."""
    if _left_out(mesh):
        # After how many failures that happened, nobody knows any more: a new proxy has seen none.
        before = mesh.client().pod
        mesh.api.delete(Reference("v1", "Pod", before, mesh.namespace), grace=0)
        eventually(lambda: _names(mesh) - {before}, timeout=NEW_SECONDS, why="client has a new pod")
        mesh.ready()
    server = _ill(mesh, given)
    server.answer_normally()
    mesh.client().send("http://stock/", 60)  # an answer of each pod: earlier failures are not in a row with later ones
    server.answer_all_with(500)
    return _ill_pod(mesh, given)


def _names(mesh: Mesh) -> set[str]:
    """The pods of client that are ready."""
    return {
        str(pod["metadata"]["name"])
        for pod in mesh.pods("client")
        for condition in pod.get("status", {}).get("conditions", ())
        if condition["type"] == "Ready" and condition["status"] == "True"
    }


def _left_out(mesh: Mesh) -> int:
    return total(mesh.proxy("client").stats(EJECTIONS), "ejections_active")


def _overflowing(mesh: Mesh, pending: int, at_once: int) -> None:
    client, server, proxy = mesh.client(), mesh.echo("shop"), mesh.proxy("client")
    server.release()
    assert_all(client.send("http://shop/"))  # a connection is there: while it is made, its request waits itself
    before, wanted = total(proxy.stats(REFUSED), "overflow"), at_once - 1 - pending

    def refused() -> int:
        return total(proxy.stats(REFUSED), "overflow") - before

    with client.sending(HELD, 1, timeout=15) as first:
        eventually(lambda: server.holding() == 1, timeout=MOMENT, why="a first request reaches shop")
        with client.sending(HELD, at_once - 1, concurrency=at_once - 1, timeout=15) as others:
            with contextlib.suppress(TimeoutError):  # what came instead is told below
                eventually(lambda: refused() >= wanted, timeout=MOMENT / 2, why="503 for what is too much")
            held, waiting = server.holding(), at_once - server.holding() - refused()
            _released(server, at_once)
            outcomes = Counter(each.outcome for each in first.results() + others.results())
    assert held == 1, f"{held} requests were with shop at the same time; outcomes: {dict(outcomes)}"
    assert waiting == pending, f"{waiting} requests waited for a connection; outcomes: {dict(outcomes)}"
    assert outcomes == Counter({"200": 1 + pending, "503": wanted}), f"outcomes: {dict(outcomes)}"


def _released(server: EchoControl, count: int) -> None:
    """Let the server answer, those as well that reach it only then."""
    served = 0
    while served < count and (released := _next(server)):
        served += released


def _next(server: EchoControl) -> int:
    try:
        eventually(server.holding, timeout=0.5, why="a request that waited reaches shop")
    except TimeoutError:
        return 0
    return server.release()


def _ill_pod(mesh: Mesh, given: Given) -> str:
    return str(_ill_object(mesh, given)["metadata"]["name"])


def _ill(mesh: Mesh, given: Given) -> EchoControl:
    return EchoControl(mesh.api, mesh.namespace, _ill_object(mesh, given))


def _ill_object(mesh: Mesh, given: Given) -> Object:
    """The pod of the variant, by its name's place among those of all."""
    pods = sorted(mesh.pods("stock"), key=lambda pod: str(pod["metadata"]["name"]))
    return pods[int(given["faulty"]) % len(pods)]
