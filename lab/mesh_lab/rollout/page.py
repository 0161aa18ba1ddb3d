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
    return templates.get_template("report.html.j2").render(found=found, plots=Markup(plotted(found["steps"])))


def plotted(steps: list[dict[str, Any]]) -> str:
    """Weight, failures and latency over time, and the script that draws them."""
    import plotly.graph_objects as go
    from plotly.io import to_html
    from plotly.subplots import make_subplots

    titles = ("Weight of the canary (percent)", "Bad requests (ratio)", "Latency of the version judged (ms)")
    figure = make_subplots(rows=3, cols=1, shared_xaxes=True, vertical_spacing=0.06, subplot_titles=titles)
    for row, name, points in _series(steps):
        shape = "hv" if row == 1 else "linear"
        line = go.Scatter(x=[x for x, _ in points], y=[y for _, y in points], name=name, line={"shape": shape})
        figure.add_trace(line, row=row, col=1)
    figure.update_layout(height=720, template="plotly_white", hovermode="x unified", margin={"t": 40, "b": 40})
    figure.update_yaxes(rangemode="tozero")
    figure.update_xaxes(title_text="seconds since the rollout began", row=3, col=1)
    html: str = to_html(figure, full_html=False, include_plotlyjs=True, config={"displaylogo": False})
    return html


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
    ]


def _ratio(bad: int, trials: int) -> float | None:
    return bad / trials if trials else None
