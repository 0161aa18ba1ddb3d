"""Prometheus' text, sample by sample."""

from __future__ import annotations

from mesh_lab.harness.metrics import Sample, by_label, parse_samples, total_of

TEXT = r"""# TYPE istio_requests_total counter
istio_requests_total{reporter="source",response_code="200",path="a\"b,c=\"d\""} 3
istio_requests_total{reporter="source",response_code="503",path=""} 1.5e+01
istio_requests_total{reporter="destination",response_code="200",path=""} 4
istio_requests_total_more{reporter="source",response_code="200"} 9
envoy_server_uptime{} 7
envoy_up 1
"""


def test_samples_are_read_with_their_labels() -> None:
    first, *_ = parse_samples(TEXT, "istio_requests_total")
    assert first == Sample(
        "istio_requests_total", {"reporter": "source", "response_code": "200", "path": r"a\"b,c=\"d\""}, 3.0
    )
    assert [each.value for each in parse_samples(TEXT, "envoy_server_uptime")] == [7.0]
    assert [each.value for each in parse_samples(TEXT, "envoy_up")] == [1.0]


def test_samples_are_added_up_by_labels() -> None:
    assert total_of(TEXT, "istio_requests_total", {"reporter": "source"}) == 18.0
    assert by_label(TEXT, "istio_requests_total", "response_code", {"reporter": "source"}) == {"200": 3, "503": 15}
    assert by_label(TEXT, "none", "response_code", {}) == {}
