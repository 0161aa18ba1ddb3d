"""The checks of the lesson on retries: how often the server was asked, and what the client got."""

from __future__ import annotations

from mesh_lab.learn.checking import Given, expect
from mesh_lab.testing import Mesh, Results, assert_all

COUNT, HOPELESS = 10, 3
STORM, AT_ONCE, FOR_EACH = 100, 40, 0.2


def task_1(mesh: Mesh, given: Given) -> None:
    """Enough attempts, and not one more."""
    _repeated(mesh, given)


def task_2(mesh: Mesh, given: Given) -> None:
    """Retries are still made, and bounded when everything fails."""
    _repeated(mesh, given)
    look = f"`kubectl -n {mesh.namespace} get destinationrules -o yaml`: trafficPolicy.connectionPool.http"
    with expect(f"of {STORM} requests that fail at once come at most {FOR_EACH * STORM:.0f} retries", look=look):
        _, attempts = _sent(mesh, "http://shop/?status=503&delay=0.05", STORM, AT_ONCE)
        retries = sum(attempts.values()) - STORM
        assert retries <= FOR_EACH * STORM, f"{STORM} requests became {STORM + retries}: a retry storm"


def _repeated(mesh: Mesh, given: Given) -> None:
    fails, wanted = int(given["fails"]), int(given["attempts"])
    look = f"`kubectl -n {mesh.namespace} get virtualservices -o yaml`: retries.attempts and retries.retryOn"
    with expect(f"a request whose first {fails} attempts fail with 503 succeeds", look=look):
        results, attempts = _sent(mesh, f"http://shop/?fail={fails}", COUNT)
        most = max(attempts.values(), default=0)
        failed = [result for result in results if result.status != 200]
        assert not failed or most > 1, f"no retry was made: each of {COUNT} requests was attempted once, and failed"
        assert not failed or most > fails, f"requests were attempted {most} times, and {len(failed)} of {COUNT} failed"
        assert_all(results)
    with expect(f"a request that cannot succeed is attempted {wanted} times, and no more", look=look):
        _, attempts = _sent(mesh, "http://shop/?status=503", HOPELESS)
        least, most = min(attempts.values(), default=0), max(attempts.values(), default=0)
        assert least == most == wanted, f"requests that cannot succeed were attempted {least} to {most} times"


def _sent(mesh: Mesh, url: str, count: int, concurrency: int = 1) -> tuple[Results, dict[str, int]]:
    """Results, and how often the server saw each request."""
    server = mesh.echo("shop")
    server.reset()
    results = mesh.client().send(url, count, concurrency=concurrency, distinct_ids=True)
    return results, server.counts()["attempts"]
