"""Where an application has its metrics, by its annotations."""

from __future__ import annotations

import pytest

from mesh_lab.controlplane.injection.merging import Target, from_annotations

AT_THE_PROXY = {
    "prometheus.io/scrape": "true",
    "prometheus.io/port": "15020",
    "prometheus.io/path": "/stats/prometheus",
}


@pytest.mark.parametrize(
    ("annotations", "targets"),
    [
        ({}, []),
        ({"prometheus.io/scrape": "true"}, [(80, "/metrics")]),
        ({"prometheus.io/port": "8080"}, [(8080, "/metrics")]),
        ({"prometheus.io/scrape": "true", "prometheus.io/port": "8080", "prometheus.io/path": "/m"}, [(8080, "/m")]),
        ({"prometheus.io.port": "8080", "prometheus-io/path": "m"}, [(8080, "/m")]),
        ({"prometheus.istio.io/scrape-targets": "8080:/a, 9090"}, [(8080, "/a"), (9090, "/metrics")]),
    ],
)
def test_prometheus_is_sent_to_the_proxy_which_knows_the_applications_place(
    annotations: dict[str, str], targets: list[tuple[int, str]]
) -> None:
    merging = from_annotations({"mine": "stays", **annotations})
    assert merging.targets == tuple(Target(*target) for target in targets)
    assert merging.annotations == {"mine": "stays", **AT_THE_PROXY}


@pytest.mark.parametrize(
    "annotations",
    [
        {"prometheus.io/scrape": "false", "prometheus.io/port": "8080"},
        {"prometheus.istio.io/merge-metrics": "false", "prometheus.io/port": "8080"},
        AT_THE_PROXY,
    ],
)
def test_who_wants_no_merging_keeps_the_annotations(annotations: dict[str, str]) -> None:
    assert from_annotations(annotations) == ((), annotations)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("prometheus.io/port", "http", "prometheus.io/port: 'http' is not a port"),
        ("prometheus.io/port", "70000", "not a port"),
        ("prometheus.io/port", "15090", "the proxy's own port, for Envoy's metrics"),
        ("prometheus.istio.io/scrape-targets", "15020:/metrics", "it would read itself"),
        ("prometheus.istio.io/merge-metrics", "maybe", "neither true nor false"),
    ],
)
def test_a_bad_annotation_is_named(name: str, value: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        from_annotations({name: value})
