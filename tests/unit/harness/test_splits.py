"""The assertion that sends until its verdict is safe, on simulated meshes."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import pytest

from mesh_lab.harness.results import Result, Results
from mesh_lab.harness.sequential import Rates
from mesh_lab.harness.splits import assert_route_splits

WRITTEN = {"v1": 90, "v2": 10}


class SimulatedMesh:
    """Answers with versions drawn by these shares."""

    def __init__(self, shares: Mapping[str, float], seed: int) -> None:
        self._shares = dict(shares)
        self._draws = random.Random(seed)
        self.options: dict[str, Any] = {}

    def draw_header(self) -> str:
        return "x-draw"

    def send(self, url: str, count: int = 1, **options: Any) -> Results:
        self.options = {"url": url, **options}
        if "index_header" in options:
            drawn = [name for name, weight in self._shares.items() for _ in range(int(weight))]
            return Results(Result(200, 0.0, 1.0, version=drawn[index % len(drawn)]) for index in range(count))
        versions = self._draws.choices(list(self._shares), list(self._shares.values()), k=count)
        return Results(Result(200, 0.0, 1.0, version=version, hostname=f"{version}-0") for version in versions)


def test_a_mesh_that_behaves_passes_with_few_requests() -> None:
    sent = sorted(len(assert_route_splits(SimulatedMesh(WRITTEN, seed), "http://shop", WRITTEN)) for seed in range(200))
    assert sent[len(sent) // 2] < 1500


@pytest.mark.parametrize("shares", [{"v1": 85, "v2": 15}, {"v1": 95, "v2": 5}, {"v1": 100}], ids=str)
def test_a_mesh_that_misbehaves_by_little_fails(shares: dict[str, float]) -> None:
    for seed in range(40):
        with pytest.raises(AssertionError, match="is not split as"):
            assert_route_splits(SimulatedMesh(shares, seed), "http://shop", WRITTEN)


def test_a_failure_says_what_was_seen_and_what_it_is_worth() -> None:
    with pytest.raises(AssertionError) as failure:
        assert_route_splits(SimulatedMesh({"v1": 80, "v2": 20}, 1), "http://shop", WRITTEN)
    text = str(failure.value)
    assert text.startswith("http://shop is not split as {'v1': 90, 'v2': 10}\n  v1: ")
    assert "written 90.0%  <-- less than written" in text
    assert "a false alarm at most once in 1,000,000 runs; 5 points missed at most once in 1,000" in text


def test_an_answer_of_something_else_is_named() -> None:
    with pytest.raises(AssertionError, match=r"answered by something without a share: \d+ × v9"):
        assert_route_splits(SimulatedMesh({"v1": 90, "v2": 9, "v9": 1}, 1), "http://shop", WRITTEN)


def test_what_stays_open_says_so_after_the_most_requests() -> None:
    mesh = SimulatedMesh({"v1": 87.2, "v2": 12.8}, 3)
    with pytest.raises(AssertionError, match=r"is open after 400 requests\n.*send more"):
        assert_route_splits(mesh, "http://shop", WRITTEN, most=400)


def test_rates_and_what_tells_versions_apart_are_the_callers() -> None:
    mesh = SimulatedMesh({"v1": 50, "v2": 50}, 1)
    rates = Rates(false_alarm=0.001, missed=0.01, deviation=0.2)
    results = assert_route_splits(
        mesh, "http://shop", {"v1-0": 1, "v2-0": 1}, by="hostname", rates=rates, batch=10, concurrency=4
    )
    assert len(results) < 400
    assert mesh.options == {"url": "http://shop", "concurrency": 4}


@pytest.mark.parametrize(("batch", "most"), [(0, 10), (11, 10), (-1, -1)])
def test_bounds_that_are_none_are_refused(batch: int, most: int) -> None:
    with pytest.raises(ValueError, match="requests"):
        assert_route_splits(SimulatedMesh(WRITTEN, 1), "http://shop", WRITTEN, batch=batch, most=most)


@pytest.mark.parametrize(
    ("weights", "requests"), [(WRITTEN, 100), ({"v1": 1, "v2": 2}, 102), ({"v1": 700, "v2": 300}, 1000)]
)
def test_an_exact_split_takes_as_many_requests_as_the_weights_add_up_to(
    weights: dict[str, float], requests: int
) -> None:
    mesh = SimulatedMesh(weights, 1)
    assert len(assert_route_splits(mesh, "http://shop", weights, exact=True)) == requests
    assert mesh.options["index_header"] == "x-draw"


def test_an_exact_split_that_differs_by_one_in_a_hundred_fails() -> None:
    with pytest.raises(AssertionError, match="of 100 numbered requests came v1: 91, v2: 9"):
        assert_route_splits(SimulatedMesh({"v1": 91, "v2": 9}, 1), "http://shop", WRITTEN, exact=True)
    with pytest.raises(ValueError, match="are not whole numbers"):
        assert_route_splits(SimulatedMesh(WRITTEN, 1), "http://shop", {"v1": 0.9, "v2": 0.1}, exact=True)
    with pytest.raises(ValueError, match="has no header"):
        assert_route_splits(SimulatedMesh(WRITTEN, 1), "tcp://shop:9000", WRITTEN, exact=True)
