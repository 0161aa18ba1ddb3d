"""A run's figures over time, drawn with plotly. What is drawn is decided by `series`, `marks` and `usage`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import plotly.graph_objects as go
from plotly.io import to_html
from plotly.subplots import make_subplots

from mesh_lab.load import series
from mesh_lab.load.series import Point

_MEGA = 1e6
_ROW_PIXELS = 210
_CHANGED, _ACKNOWLEDGED = "#c0392b", "#27ae60"


class Line(NamedTuple):
    """A line of a panel: its name, and its points. `stacked`: on the one before, the area filled."""

    name: str
    at: Sequence[float]
    values: Sequence[float | None]
    stacked: bool = False


class Panel(NamedTuple):
    """One plot of the column: what it shows, in which unit, and its lines."""

    title: str
    unit: str
    lines: list[Line]


def panels(run: Mapping[str, Any]) -> Iterator[Panel]:
    """The plots of a run, each with at least one line."""
    found = series.points(run["windows"])
    for title, unit, lines in (
        ("Rate", "a second", _rates(found)),
        ("Latency", "ms", _latencies(found)),
        ("Errors", "a second", _lines(found, {"errors": lambda point: point.failures / point.seconds})),
        ("Versions", "share", _shares(found)),
        ("Processors of proxies", "cores", _usage(run, 1, 1)),
        ("Memory of proxies", "MB", _usage(run, 2, _MEGA)),
    ):
        if lines:
            yield Panel(title, unit, lines)


def plotted(run: Mapping[str, Any]) -> str:
    """The plots and the script that draws them, as HTML that asks nobody for anything."""
    rows = list(panels(run))
    if not rows:
        return ""
    titles = [f"{row.title} ({row.unit})" for row in rows]
    figure = make_subplots(rows=len(rows), cols=1, shared_xaxes=True, vertical_spacing=0.045, subplot_titles=titles)
    for number, row in enumerate(rows, start=1):
        for line in row.lines:
            figure.add_trace(
                go.Scatter(
                    x=line.at,
                    y=line.values,
                    name=line.name,
                    mode="lines",
                    stackgroup=f"of {number}" if line.stacked else None,
                    legendgroup=row.title,
                    legendgrouptitle={"text": row.title},
                ),
                row=number,
                col=1,
            )
    for number, mark in enumerate(run.get("marks", ()), start=1):
        _draw(figure, mark, str(number))
    figure.update_layout(
        height=_ROW_PIXELS * len(rows) + 60,
        hovermode="x unified",
        template="plotly_white",
        margin={"t": 40, "b": 40},
        legend={"traceorder": "grouped"},
    )
    figure.update_yaxes(rangemode="tozero")
    figure.update_xaxes(title_text="seconds since the measured part began", row=len(rows), col=1)
    html: str = to_html(figure, full_html=False, include_plotlyjs=True, config={"displaylogo": False})
    return html


def _draw(figure: Any, mark: Mapping[str, Any], label: str) -> None:
    """A change in all plots: a line where it was made, and one where all proxies had acknowledged it."""
    figure.add_vline(
        x=mark["at"],
        line={"color": _CHANGED, "dash": "dash", "width": 1},
        annotation={"text": label, "font": {"size": 12, "color": _CHANGED}},
        row=1,
        col=1,
    )
    figure.add_vline(x=mark["at"], line={"color": _CHANGED, "dash": "dash", "width": 1})
    if mark["acknowledged"] is not None:
        figure.add_vline(x=mark["acknowledged"], line={"color": _ACKNOWLEDGED, "dash": "dot", "width": 1})


def _lines(found: Sequence[Point], figures: Mapping[str, Callable[[Point], float | None]]) -> list[Line]:
    at = [point.start + point.seconds / 2 for point in found]
    return [Line(name, at, [figure(point) for point in found]) for name, figure in figures.items() if found]


def _rates(found: Sequence[Point]) -> list[Line]:
    figures: dict[str, Callable[[Point], float | None]] = {"requests": lambda point: point.rate}
    if any(point.arrivals for point in found):
        for name in series.ARRIVALS:
            figures[f"tasks {name}"] = lambda point, name=name: point.arrivals.get(name, 0) / point.seconds  # type: ignore[misc]
    return _lines(found, figures)


def _latencies(found: Sequence[Point]) -> list[Line]:
    at = [point.start + point.seconds / 2 for point in found]
    return [
        Line(f"p{share * 100:g}", at, [point.latencies[index] for point in found])
        for index, share in enumerate(series.SHARES)
        if found
    ]


def _shares(found: Sequence[Point]) -> list[Line]:
    at = [point.start + point.seconds / 2 for point in found]
    return [
        Line(name, at, [point.versions.get(name, 0.0) for point in found], stacked=True)
        for name in series.versions(found)
    ]


def _usage(run: Mapping[str, Any], column: int, unit: float) -> list[Line]:
    return [
        Line(pod, [sample[0] for sample in taken], [sample[column] / unit for sample in taken])
        for pod, taken in run.get("usage", {}).items()
    ]
