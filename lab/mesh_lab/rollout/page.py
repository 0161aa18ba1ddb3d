"""A rollout as one page of HTML, which opens without a network: its verdict, its steps, and what was seen over time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def page(found: Mapping[str, Any]) -> str:
    """The page of a rollout's JSON.

    Raises:
        ImportError: plotly or jinja2 is missing.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    templates = Environment(
        loader=PackageLoader("mesh_lab.rollout", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    plots = plotted(found["steps"], found["bounds"])
    return templates.get_template("report.html.j2").render(found=found, plots=Markup(plots))


def plotted(steps: list[dict[str, Any]], bounds: Mapping[str, float]) -> str:
    """Weight, failures, latency and what the tests make of them over time, and the script that draws them."""
    import plotly.graph_objects as go
    from plotly.io import to_html
    from plotly.subplots import make_subplots

    figure = make_subplots(rows=len(TITLES), cols=1, shared_xaxes=True, vertical_spacing=0.06, subplot_titles=TITLES)
    for row, name, points in _series(steps):
        shape = "hv" if row == 1 else "linear"
        line = go.Scatter(x=[x for x, _ in points], y=[y for _, y in points], name=name, line={"shape": shape})
        figure.add_trace(line, row=row, col=1)
    for bound, what in ((bounds["bad_above"], "bad"), (bounds["good_below"], "good")):
        figure.add_hline(bound, line_dash="dot", annotation_text=what, row=len(TITLES), col=1)
    figure.update_layout(height=900, template="plotly_white", hovermode="x unified", margin={"t": 40, "b": 40})
    for row in (1, 2, 3):
        figure.update_yaxes(rangemode="tozero", row=row, col=1)
    figure.update_xaxes(title_text="seconds since the rollout began", row=len(TITLES), col=1)
    html: str = to_html(figure, full_html=False, include_plotlyjs=True, config={"displaylogo": False})
    return html


TITLES = (
    "Weight of the canary (percent)",
    "Bad requests (ratio)",
    "Latency of the version judged (ms)",
    "The test that is nearest to bad (log likelihood ratio)",
)
Points = list[tuple[float, float | None]]


def _series(steps: list[dict[str, Any]]) -> list[tuple[int, str, Points]]:
    """Each line: its row, its name, and its points; nothing where a version had no request."""
    looks = [(step["weight"], look) for step in steps for look in step["looks"]]
    return [
        (1, "weight", [(look["at"], weight) for weight, look in looks]),
        (2, "judged", [(look["at"], _ratio(look["bad"], look["trials"])) for _, look in looks]),
        (2, "other version", [(look["at"], _ratio(look["others_bad"], look["others"])) for _, look in looks]),
        (3, "p50", [(look["at"], look["p50_ms"] if look["trials"] else None) for _, look in looks]),
        (3, "p99", [(look["at"], look["p99_ms"] if look["trials"] else None) for _, look in looks]),
        (4, "log ratio", [point for step in steps for point in _path(step)]),
    ]


def _path(step: dict[str, Any]) -> Points:
    """The test's path at a step, with a gap after it: each step has a test of its own."""
    points: Points = [(look["at"], look["log_ratio"]) for look in step["looks"]]
    return [*points, (points[-1][0], None)] if points else []


def _ratio(bad: int, trials: int) -> float | None:
    return bad / trials if trials else None
