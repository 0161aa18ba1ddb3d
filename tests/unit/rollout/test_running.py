"""A rollout on a stand-in of a cluster: what is written at each step, and what ends it."""

from __future__ import annotations

import contextlib
import copy
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from mesh_lab.client.connection import ApiError
from mesh_lab.client.objects import Object, Reference
from mesh_lab.errors import LabError, WaitTimeoutError
from mesh_lab.harness.results import Result, Results
from mesh_lab.load.claim import Claim
from mesh_lab.rollout import record, report, writing
from mesh_lab.rollout.page import page
from mesh_lab.rollout.plan import Phase, State
from mesh_lab.rollout.running import Outcome, abort, longest, run
from mesh_lab.rollout.settings import BadRollout, Rollout
from mesh_lab.rollout.traffic import MOST_SECONDS, NothingSent
from mesh_lab.rollout.writing import Route, RouteTaken

WANTED = Rollout(
    route="virtualservice/shop",
    stable="v1",
    canary="v2",
    url="http://shop",
    steps=[25.0, 100.0],
    latency={"p99": "50ms"},
)
ME = Claim("here", 1, "1", 0.0)


class Cluster:
    """Stands for the API and the mesh: the route's weights decide which version answers."""

    def __init__(self) -> None:
        entries = [{"destination": {"host": "shop", "subset": name}} for name in ("v1", "v2")]
        self.route: Object = {
            "kind": "VirtualService",
            "metadata": {"name": "shop", "namespace": "default", "resourceVersion": "1"},
            "spec": {"http": [{"route": [{**entries[0], "weight": 100}, {**entries[1], "weight": 0}]}]},
        }
        self.written: list[tuple[list[int], str]] = []
        self.before_patch: Callable[[], None] = lambda: None
        self.before_send: Callable[[], None] = lambda: None
        self.acknowledge: Callable[[], None] = lambda: None
        self.failing, self.slow, self.nameless = {"v1": 0.0, "v2": 0.0}, set[str](), False
        self.in_force = True
        self._chance = random.Random(5)

    def served(self, *_: Any) -> str:
        return "networking.istio.io/v1"

    def find(self, ref: Reference) -> Object | None:
        return copy.deepcopy(self.route) if (ref.kind, ref.name) == ("VirtualService", "shop") else None

    def patch(self, _: Reference, change: Object) -> Object:
        self.before_patch()
        meta = self.route["metadata"]
        if change["metadata"].get("resourceVersion", meta["resourceVersion"]) != meta["resourceVersion"]:
            raise ApiError(409, "changed", reason="Conflict", request="PATCH")
        self.touch()
        annotations = {**meta.get("annotations", {}), **change["metadata"]["annotations"]}
        meta["annotations"] = {name: value for name, value in annotations.items() if value is not None}
        self.route["spec"] = copy.deepcopy(change.get("spec", self.route["spec"]))
        self.written.append((self.weights, meta["annotations"].get(record.ANNOTATION, "")))
        return copy.deepcopy(self.route)

    def touch(self) -> None:
        self.route["metadata"]["resourceVersion"] = str(int(self.route["metadata"]["resourceVersion"]) + 1)

    @property
    def weights(self) -> list[int]:
        return [entry["weight"] for entry in self.route["spec"]["http"][0]["route"]]

    def send(self, count: int) -> Results:
        self.before_send()
        shares = self.weights if self.in_force else [50, 50]
        return Results(self._answer(version) for version in self._chance.choices(["v1", "v2"], shares, k=count))

    def _answer(self, version: str) -> Result:
        failed = self._chance.random() < self.failing[version]
        duration = 80.0 if version in self.slow else 5.0
        return Result(503 if failed else 200, 0.0, duration, version="" if failed and self.nameless else version)


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    cluster = Cluster()
    monkeypatch.setattr(writing, "await_live", lambda *_: cluster.acknowledge())
    monkeypatch.setattr(writing, "status_of", lambda *_, **__: None)
    return cluster


def carried_out(cluster: Cluster, wanted: Rollout = WANTED, claim: Claim = ME) -> tuple[Outcome, list[str]]:
    lines: list[str] = []
    sending = contextlib.nullcontext(cluster.send)
    return run(Route(cluster, wanted), wanted, sending, claim, lines.append), lines  # type: ignore[arg-type]


def test_a_good_version_is_promoted_and_nothing_of_the_rollout_is_left(cluster: Cluster) -> None:
    outcome, lines = carried_out(cluster)
    assert outcome.state == State(Phase.PROMOTED, 2)
    assert [weights for weights, _ in cluster.written] == [[100, 0], [100, 0], [75, 25], [0, 100], [0, 100]]
    assert [json.loads(kept)["step"] for _, kept in cluster.written[:-1]] == [0, 0, 1, 2]
    assert cluster.written[-1][1] == ""
    assert lines[1].startswith("step 1 of 2: 25% canary: good after ")
    assert list(report.lines(WANTED, outcome)) == ["promoted: v2 has all requests of virtualservice/shop"]


@pytest.mark.parametrize("nameless", [False, True], ids=["says its version", "cannot say it"])
def test_a_version_that_fails_is_taken_back_at_once(cluster: Cluster, nameless: bool) -> None:
    cluster.failing["v2"], cluster.nameless = 0.3, nameless
    outcome, _ = carried_out(cluster)
    assert outcome.state == State(Phase.ROLLED_BACK, 1)
    assert (cluster.weights, cluster.written[-1][1]) == ([100, 0], "")
    assert outcome.steps[-1].bad["success"]
    assert len(outcome.steps[-1].shown) == 5
    told = "\n".join(report.lines(WANTED, outcome))
    assert "rolled back at step 1, 25%: v1 has all requests" in told
    assert "503 from" in told


def test_a_version_that_is_slow_is_taken_back(cluster: Cluster) -> None:
    cluster.slow = {"v2"}
    outcome, _ = carried_out(cluster)
    assert outcome.state == State(Phase.ROLLED_BACK, 1)
    assert outcome.steps[-1].bad == {"latency p99": outcome.steps[-1].trials, "success": 0}


def test_a_stable_version_that_fails_ends_it_before_the_first_step(cluster: Cluster) -> None:
    cluster.failing["v1"] = 0.2
    outcome, _ = carried_out(cluster)
    assert outcome.state == State(Phase.ROLLED_BACK, 0)
    assert "rolled back before the first step" in "\n".join(report.lines(WANTED, outcome))


def test_weights_that_are_not_in_force_end_it(cluster: Cluster) -> None:
    cluster.in_force = False
    outcome, _ = carried_out(cluster)
    assert outcome.state.phase is Phase.ROLLED_BACK
    assert "is not in force" in outcome.steps[-1].why


def test_answers_that_say_no_version_end_it(cluster: Cluster) -> None:
    wanted = msgspec.structs.replace(WANTED, stable="old")
    for entry in cluster.route["spec"]["http"][0]["route"]:
        entry["destination"]["subset"] = {"v1": "old", "v2": "v2"}[entry["destination"]["subset"]]
    outcome, _ = carried_out(cluster, wanted)
    assert "no answer may be of v1 at this weight" in outcome.steps[0].why


def test_a_verdict_that_stays_open_is_no_promotion(cluster: Cluster) -> None:
    cluster.failing["v2"] = 0.03
    wanted = msgspec.convert({**msgspec.to_builtins(WANTED), "requests": {"most": 150}}, Rollout)
    outcome, _ = carried_out(cluster, wanted)
    assert outcome.state == State(Phase.ROLLED_BACK, 1)
    assert outcome.steps[-1].trials >= 150
    assert f"neither good nor bad after {outcome.steps[-1].trials} of its requests" in "\n".join(
        report.lines(wanted, outcome)
    )


def test_a_status_that_changes_meanwhile_is_no_change_of_the_route(cluster: Cluster) -> None:
    times = iter(range(3))

    def status() -> None:
        if next(times, None) is not None:
            cluster.touch()

    cluster.before_patch = status
    outcome, _ = carried_out(cluster)
    assert outcome.promoted


def test_what_somebody_else_changes_ends_it_and_stays(cluster: Cluster) -> None:
    def interfere() -> None:
        if len(cluster.written) == 3:
            cluster.route["spec"]["http"][0]["timeout"] = "1s"
            cluster.touch()

    cluster.before_patch = interfere
    with pytest.raises(LabError, match="was changed by somebody else during the rollout; it stays"):
        carried_out(cluster)
    assert cluster.route["spec"]["http"][0]["timeout"] == "1s"
    assert cluster.weights == [75, 25]


def interrupted(cluster: Cluster, claim: Claim | None, digest: str = WANTED.digest) -> None:
    """As a process has left it at the first step."""
    kept = record.Record(digest, 1, "v2", claim)
    cluster.route["metadata"]["annotations"] = record.annotated(kept)
    for entry, weight in zip(cluster.route["spec"]["http"][0]["route"], (75, 25), strict=True):
        entry["weight"] = weight


def test_a_rollout_goes_on_where_it_was_interrupted(cluster: Cluster) -> None:
    interrupted(cluster, None)
    outcome, _ = carried_out(cluster)
    assert (outcome.promoted, outcome.resumed_at) == (True, 1)
    assert [step.weight for step in outcome.steps] == [25.0, 100.0]


def test_one_whose_process_is_gone_goes_on_and_one_at_work_is_left_alone(cluster: Cluster) -> None:
    gone = Claim.here(60)
    interrupted(cluster, Claim(gone.host, 2**22 + 1, "7", gone.since, gone.until))
    assert carried_out(cluster)[0].resumed_at == 1
    interrupted(cluster, Claim.here(60))
    with pytest.raises(record.RolloutUnderWay, match=r"a rollout to v2 is under way at step 1 \(process \d+ on "):
        carried_out(cluster)
    with pytest.raises(record.RolloutUnderWay):
        abort(Route(cluster, WANTED), ME)  # type: ignore[arg-type]


def test_another_rollout_that_was_interrupted_is_not_gone_over(cluster: Cluster) -> None:
    interrupted(cluster, None, "another")
    with pytest.raises(record.RolloutUnderWay, match="another rollout, to v2, was interrupted at step 1") as raised:
        carried_out(cluster)
    assert "--abort" in raised.value.hint
    abort(Route(cluster, WANTED), ME)  # type: ignore[arg-type]
    assert (cluster.weights, cluster.written[-1][1]) == ([100, 0], "")


def test_an_interrupted_process_leaves_the_weights_and_its_step(cluster: Cluster) -> None:
    interrupted(cluster, ME)
    Route(cluster, WANTED).release(Claim.here(60))  # type: ignore[arg-type]
    assert record.read(cluster.route) == record.Record(WANTED.digest, 1, "v2", ME), "another one's"
    Route(cluster, WANTED).release(ME)  # type: ignore[arg-type]
    assert record.read(cluster.route) == record.Record(WANTED.digest, 1, "v2", None)
    cluster.route["metadata"]["annotations"] = record.annotated(record.Record(WANTED.digest, 0, "v2", ME))
    Route(cluster, WANTED).release(ME)  # type: ignore[arg-type]
    assert record.read(cluster.route) is None, "it had not begun"


@pytest.mark.parametrize(("route", "error"), [("gateway/shop", BadRollout), ("virtualservice/none", LabError)])
def test_what_is_no_route_is_refused(cluster: Cluster, route: str, error: type[LabError]) -> None:
    wanted = Rollout(route=route, stable="v1", canary="v2", url="http://shop")
    with pytest.raises(error):
        Route(cluster, wanted)  # type: ignore[arg-type]


def test_the_report_has_all_of_it_and_opens_offline(cluster: Cluster, tmp_path: Path) -> None:
    cluster.failing["v2"] = 0.5
    outcome, _ = carried_out(cluster)
    found = report.document(WANTED, outcome)
    assert report.write(tmp_path, found) == tmp_path / "report.html"
    kept = json.loads((tmp_path / "rollout.json").read_text())
    assert (kept["verdict"], kept["step"], kept["schema"]) == ("rolled back", 1, 1)
    assert [step["weight"] for step in kept["steps"]] == [0.0, 25.0]
    html = page(kept)
    assert "503 from" in html
    assert 'src="http' not in html


def test_where_the_canary_has_all_requests_nothing_is_done(cluster: Cluster) -> None:
    carried_out(cluster)
    before = len(cluster.written)
    outcome, lines = carried_out(cluster)
    assert (outcome.promoted, outcome.steps) == (True, [])
    assert lines == ["v2 has all requests of virtualservice/shop already: there is nothing to do"]
    assert len(cluster.written) == before


def test_weights_that_were_changed_after_an_interruption_are_not_gone_over(cluster: Cluster) -> None:
    interrupted(cluster, None)
    cluster.route["spec"]["http"][0]["route"][0]["weight"] = 100
    cluster.route["spec"]["http"][0]["route"][1]["weight"] = 0
    with pytest.raises(RouteTaken, match=r"interrupted at step 1, and v2 has not got its 25% any more") as raised:
        carried_out(cluster)
    assert "--abort" in raised.value.hint
    assert (cluster.weights, cluster.written) == ([100, 0], [])


def test_of_two_that_begin_at_once_one_is_refused_and_the_other_left_alone(cluster: Cluster) -> None:
    other = record.Record(WANTED.digest, 0, "v2", Claim.here(60))

    def other_is_first() -> None:
        if not cluster.written and not cluster.route["metadata"].get("annotations"):
            cluster.route["metadata"]["annotations"] = record.annotated(other)
            cluster.touch()

    cluster.before_patch = other_is_first
    with pytest.raises(record.RolloutUnderWay):
        carried_out(cluster)
    assert record.read(cluster.route) == other
    assert cluster.written == []


def test_a_client_is_started_only_by_the_one_that_has_the_route(cluster: Cluster) -> None:
    interrupted(cluster, Claim.here(60))

    @contextlib.contextmanager
    def started() -> Any:
        raise AssertionError("it would take the place of the other one's")
        yield

    with pytest.raises(record.RolloutUnderWay):
        run(Route(cluster, WANTED), WANTED, started(), ME, print)  # type: ignore[arg-type]


def test_a_step_that_cannot_be_judged_takes_the_canary_back(cluster: Cluster) -> None:
    def no_answer() -> None:
        if cluster.weights != [100, 0]:
            raise NothingSent("the client has not sent them")

    cluster.before_send = no_answer
    outcome, _ = carried_out(cluster)
    assert outcome.state == State(Phase.ROLLED_BACK, 1)
    assert (cluster.weights, cluster.written[-1][1]) == ([100, 0], "")
    assert "it cannot be judged: the client has not sent them" in "\n".join(report.lines(WANTED, outcome))


def test_before_the_first_step_what_cannot_be_judged_ends_it_with_its_own_words(cluster: Cluster) -> None:
    def no_answer() -> None:
        raise NothingSent("the client has not sent them")

    cluster.before_send = no_answer
    with pytest.raises(NothingSent):
        carried_out(cluster)
    assert record.read(cluster.route) is None


def test_weights_that_no_proxy_acknowledges_take_the_canary_back_and_the_report_says_what_is_in_force(
    cluster: Cluster,
) -> None:
    def unacknowledged() -> None:
        if len(cluster.written) > 2:
            raise WaitTimeoutError("a proxy has not acknowledged it")

    cluster.acknowledge = unacknowledged
    outcome, _ = carried_out(cluster)
    assert outcome.state == State(Phase.ROLLED_BACK, 1)
    assert (outcome.promoted, outcome.trouble) == (False, "a proxy has not acknowledged it")
    assert cluster.weights == [100, 0]
    told = "\n".join(report.lines(WANTED, outcome))
    assert "but it is not in force that v1 has all requests" in told
    assert "not in force: a proxy has not" in page(report.document(WANTED, outcome))


def test_a_promotion_that_is_not_in_force_is_none(cluster: Cluster) -> None:
    def last_is_unacknowledged() -> None:
        if record.read(cluster.route) is None:
            raise WaitTimeoutError("a proxy has not acknowledged it")

    cluster.acknowledge = last_is_unacknowledged
    outcome, _ = carried_out(cluster)
    assert (outcome.state.phase, outcome.promoted) == (Phase.PROMOTED, False)
    assert "promoted, but it is not in force that v2" in "\n".join(report.lines(WANTED, outcome))


def test_an_interrupted_rollout_is_left_to_the_next_process(cluster: Cluster) -> None:
    def interrupt() -> None:
        if cluster.weights == [75, 25]:
            raise KeyboardInterrupt

    cluster.before_send = interrupt
    with pytest.raises(KeyboardInterrupt):
        carried_out(cluster)
    assert cluster.weights == [75, 25]
    assert record.read(cluster.route) == record.Record(WANTED.digest, 1, "v2", None)
    cluster.before_send = lambda: None
    assert carried_out(cluster)[0].resumed_at == 1


def test_a_version_is_compared_with_the_other_one_over_the_steps(cluster: Cluster) -> None:
    cluster.failing["v2"] = 0.3
    lenient = {"success": {"atLeast": "50%", "worseBy": "10%"}, "compare": {"times": 2, "worse": 5}}
    wanted = msgspec.convert({**msgspec.to_builtins(WANTED), "latency": {}, **lenient}, Rollout)
    outcome, _ = carried_out(cluster, wanted)
    assert outcome.state.phase is Phase.ROLLED_BACK
    assert "bad by success more than 2 times as often as the stable version" in outcome.steps[-1].why
    assert "success: worse than the other version" in "\n".join(report.lines(wanted, outcome))


def test_a_rollout_is_over_after_its_longest_time() -> None:
    assert longest(WANTED) > 3 * WANTED.requests.deadline
    slow = msgspec.structs.replace(WANTED.requests, concurrency=1, timeout=100)
    assert longest(msgspec.structs.replace(WANTED, requests=slow)) > 3 * MOST_SECONDS
