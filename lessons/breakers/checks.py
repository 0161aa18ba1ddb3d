"""The checks of the lesson on circuit breakers: what is let through, and which pod is left out."""

from __future__ import annotations

import contextlib
from collections import Counter

from mesh_lab.harness.traffic import EchoControl
from mesh_lab.learn.checking import Given, expect
from mesh_lab.testing import Mesh, assert_all, assert_ejected, assert_no_errors, eventually, total

HELD = "http://shop/hold?limit=20"
REFUSED = r"shop.*upstream_rq_pending_overflow"
EJECTIONS = r"stock.*outlier_detection.ejections_active"
MOMENT = 3.0
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
    errors, client, proxy = int(given["errors"]), mesh.client(), mesh.proxy("client")
    ill = _ill_pod(mesh, given)
    look = f"`kubectl -n {mesh.namespace} get destinationrules -o yaml`: outlierDetection, and its host"
    _ill(mesh, given).answer_normally()
    client.send(
        "http://stock/", 60, concurrency=3
    )  # an answer of each pod: earlier failures are not in a row with later
    _ill(mesh, given).answer_all_with(500)
    with expect(f"after {errors} failures in a row {ill}, and no other pod, is left out", look=look):
        first = client.send("http://stock/", 20 * errors, concurrency=3)
        failed = len(first.with_status(500))
        active = total(proxy.stats(EJECTIONS), "ejections_active")
        already = not failed and active == 1
        assert active == 1, f"{active} pods of stock are left out, after {failed} of {len(first)} requests had failed"
        assert already or errors <= failed <= errors + 2, f"{ill} was left out after {failed} failures"
        results = client.send("http://stock/", 60)
        assert_no_errors(results)
        assert_ejected(results, ill)


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
    pods = sorted(pod["metadata"]["name"] for pod in mesh.pods("stock"))
    return str(pods[int(given["faulty"]) % len(pods)])


def _ill(mesh: Mesh, given: Given) -> EchoControl:
    name = _ill_pod(mesh, given)
    pod = next(pod for pod in mesh.pods("stock") if pod["metadata"]["name"] == name)
    return EchoControl(mesh.api, mesh.namespace, pod)
