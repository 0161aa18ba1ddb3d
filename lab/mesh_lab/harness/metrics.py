"""What Envoy tells Prometheus, read sample by sample (https://prometheus.io/docs/instrumenting/exposition_formats/)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

_SAMPLE = re.compile(r"^(?P<name>[\w:]+)(?:\{(?P<labels>.*)\})? (?P<value>[^ ]+)$")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


@dataclass(frozen=True, slots=True)
class Sample:
    """One line: a metric's name, its labels, its value."""

    name: str
    labels: Mapping[str, str]
    value: float

    def has(self, labels: Mapping[str, str]) -> bool:
        """Whether all of these labels are among its own."""
        return labels.items() <= self.labels.items()


def parse_samples(text: str, name: str) -> Iterator[Sample]:
    """The samples of one metric."""
    for line in text.splitlines():
        if line.startswith(name) and (found := _SAMPLE.match(line)) and found["name"] == name:
            yield Sample(name, dict(_LABEL.findall(found["labels"] or "")), float(found["value"]))


def total_of(text: str, name: str, labels: Mapping[str, str]) -> float:
    """The sum of a metric's samples that have these labels."""
    return sum(sample.value for sample in parse_samples(text, name) if sample.has(labels))


def by_label(text: str, name: str, label: str, labels: Mapping[str, str]) -> Counter[str]:
    """The sums of a metric's samples that have these labels, by the values of one more of theirs."""
    sums: Counter[str] = Counter()
    for sample in parse_samples(text, name):
        if sample.has(labels):
            sums[sample.labels.get(label, "")] += int(sample.value)
    return sums
