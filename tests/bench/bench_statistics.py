"""The operating characteristic of the sequential test of a split, as the table of docs/statistics.md.

    python -m tests.bench.bench_statistics [--curves FILE.html]

Computed, not measured: it is the same on every machine. The curves are drawn by plotly, in a page that opens offline.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from mesh_lab.harness.sequential import characteristic
from mesh_lab.harness.splits import BATCH

CASES = {
    0.9: (0.9, 0.89, 0.88, 0.87, 0.86, 0.85, 0.8, 0.95),
    0.75: (0.75, 0.73, 0.7, 0.65, 0.8),
    0.5: (0.5, 0.48, 0.45, 0.4),
    0.99: (0.99, 0.97, 0.94),
}
"""By written share, the shares that the first version gets in truth."""

HEAD = ("| written | in truth | passes | fails | requests, median | 99 of 100 |", "|---|---|---|---|---|---|")


def row(written: float, real: float) -> str:
    """One line of the table."""
    found = characteristic(written, real, batch=BATCH)
    shares = " | ".join(f"{100 * share:g}/{100 - 100 * share:g}" for share in (written, round(real, 4)))
    return (
        f"| {shares} | {_chance(found.as_written)} | {_chance(found.deviates)} | {found.median} | {found.nearly_all} |"
    )


def _chance(value: float) -> str:
    if value > 0.99:
        return f"all but {max(1 - value, 0):.1g}"
    return f"{value:.1g}" if value < 0.01 else f"{value:.0%}"


def table() -> Iterator[str]:
    """All lines."""
    yield from HEAD
    for written, reals in CASES.items():
        yield from (row(written, real) for real in reals)


REACH, POINTS = 0.12, 25
"""How far from its written share the first version's is drawn, to either side, and at how many places."""


def curve(written: float) -> tuple[list[float], list[float], list[int]]:
    """For shares that the first version gets in truth: how often the test passes, and its requests at the median."""
    places = (written + REACH * (2 * number / (POINTS - 1) - 1) for number in range(POINTS))
    shares = [min(max(place, 0.001), 0.999) for place in places]
    found = [characteristic(written, share, batch=BATCH) for share in shares]
    return shares, [each.as_written for each in found], [each.median for each in found]


def page() -> str:
    """The curves as HTML."""
    import plotly.graph_objects as go
    from plotly.subplots import make_subplots

    titles = ("passes (probability)", "requests at the median")
    figure = make_subplots(rows=2, cols=1, shared_xaxes=True, vertical_spacing=0.08, subplot_titles=titles)
    for written in CASES:
        shares, passes, medians = curve(written)
        name = f"written {written:.0%}"
        for number, values in enumerate((passes, medians), 1):
            figure.add_trace(
                go.Scatter(x=shares, y=values, name=name, legendgroup=name, showlegend=number == 1), number, 1
            )
    figure.update_layout(template="plotly_white", height=760, title="Operating characteristic of assert_route_splits")
    figure.update_xaxes(title_text="share that the first version gets in truth", tickformat=".0%", row=2, col=1)
    html: str = figure.to_html(include_plotlyjs=True)
    return html


def main() -> None:
    """Print the table; draw the curves if a file is given."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--curves", type=Path, metavar="FILE", help="where the curves go, as HTML")
    asked = parser.parse_args()
    sys.stdout.writelines(f"{line}\n" for line in table())
    if asked.curves is not None:
        asked.curves.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
