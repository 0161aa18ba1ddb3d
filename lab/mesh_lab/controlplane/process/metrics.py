"""What the control plane counts, in Prometheus' text form, under istiod's names.

https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter

_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)


class Metrics:
    """Counters, gauges and one histogram; one object a process."""

    def __init__(self) -> None:
        self._connected = 0
        self._pushes = 0
        self._sent: Counter[str] = Counter()
        self._rejects: Counter[str] = Counter()
        self._issued = 0
        self._injections: Counter[str] = Counter()
        self._validations: Counter[str] = Counter()
        self._buckets = [0] * (len(_BUCKETS) + 1)
        self._seconds = 0.0

    def connected(self, number: int) -> None:
        """Set the number of connected proxies."""
        self._connected = number

    def pushed(self, seconds: float, proxies: int) -> None:
        """Count a snapshot that has been translated for all proxies."""
        self._pushes += proxies
        self._seconds += seconds
        self._buckets[bisect_left(_BUCKETS, seconds)] += 1

    def sent(self, type_url: str) -> None:
        """Count a response that has been sent."""
        self._sent[_short(type_url)] += 1

    def rejected(self, type_url: str) -> None:
        """Count a NACK."""
        self._rejects[_short(type_url)] += 1

    def issued(self) -> None:
        """Count an issued certificate."""
        self._issued += 1

    def injected(self, outcome: str) -> None:
        """Count an answer of the injection webhook: success, skip or failure."""
        self._injections[outcome] += 1

    def validated(self, outcome: str) -> None:
        """Count an answer of the validating webhook: passed, failed or skipped."""
        self._validations[outcome] += 1

    def text(self) -> str:
        """All metrics, as Prometheus reads them."""
        lines = [
            "# TYPE pilot_xds gauge",
            f"pilot_xds {self._connected}",
            "# TYPE pilot_xds_pushes counter",
            *(f'pilot_xds_pushes{{type="{kind}"}} {number}' for kind, number in sorted(self._sent.items())),
            "# TYPE pilot_total_xds_rejects counter",
            *(f'pilot_total_xds_rejects{{type="{kind}"}} {number}' for kind, number in sorted(self._rejects.items())),
            "# TYPE citadel_server_success_cert_issuance_count counter",
            f"citadel_server_success_cert_issuance_count {self._issued}",
            "# TYPE sidecar_injection_requests_total counter",
            *(
                f'sidecar_injection_requests_total{{outcome="{outcome}"}} {number}'
                for outcome, number in sorted(self._injections.items())
            ),
            *(
                line
                for outcome in ("passed", "failed")
                for line in (
                    f"# TYPE galley_validation_{outcome} counter",
                    f"galley_validation_{outcome} {self._validations[outcome]}",
                )
            ),
            "# TYPE pilot_xds_push_time histogram",
        ]
        total = 0
        for bound, number in zip((*map(str, _BUCKETS), "+Inf"), self._buckets, strict=True):
            total += number
            lines.append(f'pilot_xds_push_time_bucket{{le="{bound}"}} {total}')
        lines += [f"pilot_xds_push_time_sum {self._seconds:.6f}", f"pilot_xds_push_time_count {total}", ""]
        return "\n".join(lines)


def _short(type_url: str) -> str:
    return type_url.rpartition(".")[2]
