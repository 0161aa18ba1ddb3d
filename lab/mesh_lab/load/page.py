"""The report of a run as one page of HTML, which opens without a network."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

NEEDS = ("plotly", "jinja2")


def missing() -> list[str]:
    """The packages that a page needs and this environment lacks."""
    return [name for name in NEEDS if find_spec(name) is None]


def page(run: Mapping[str, Any]) -> str:
    """The page of a run's load.json.

    Raises:
        ImportError: a package of `NEEDS` is missing.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    from mesh_lab.load.plots import plotted

    templates = Environment(
        loader=PackageLoader("mesh_lab.load", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    unit = "users" if run["settings"]["rate"] is None else "tasks a second"
    optional = {"breakpoint": None, "trend": None, "arrivals": None}
    plots = Markup(plotted(run))
    return templates.get_template("report.html.j2").render(run={**optional, **run}, unit=unit, plots=plots)
