"""The commands of `mesh-lab load`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mesh_lab.cli import values
from mesh_lab.cli.context import context
from mesh_lab.cli.values import limit, one_of, positive, ratio, version_source
from mesh_lab.load.checking import check
from mesh_lab.load.limits import Limit
from mesh_lab.load.settings import DURATION_SECONDS, ELSE_SECONDS, STEPS, Settings, Shape, users_for
from mesh_lab.settings import CLUSTERS

loading = typer.Typer()

OutputOption = Annotated[
    str,
    typer.Option("-o", "--output", metavar="FORMAT", help="text or json.", autocompletion=one_of("text", "json")),
]


@loading.callback(invoke_without_command=True)
def load(
    typed: typer.Context,
    shape: Annotated[
        Shape,
        typer.Option(
            "--shape",
            metavar="SHAPE",
            help="How the users come: steady, soak, ramp, spike, breakpoint, own (the file's).",
        ),
    ] = Shape.STEADY,
    users: Annotated[
        int | None, typer.Option("--users", min=1, metavar="N", help="At the peak; else 50, with --rate enough for it.")
    ] = None,
    rate: Annotated[
        float | None,
        typer.Option(
            "--rate",
            parser=positive,
            metavar="N",
            help="Tasks that begin in a second, whether or not there are answers.",
        ),
    ] = None,
    spawn_rate: Annotated[
        float | None,
        typer.Option("--spawn-rate", parser=positive, metavar="R", help="Users that may start in a second; else all."),
    ] = None,
    duration: Annotated[
        float | None,
        typer.Option(
            "--duration",
            parser=positive,
            metavar="SECONDS",
            help="How long the run is; else 30, a soak 600, a breakpoint's search 100 at most.",
        ),
    ] = None,
    steps: Annotated[
        int | None, typer.Option("--steps", min=1, metavar="N", help="Of --shape breakpoint, up to --rate or --users.")
    ] = None,
    warm_up: Annotated[
        float | None,
        typer.Option("--warm-up", parser=positive, metavar="SECONDS", help="Before that, and not measured."),
    ] = None,
    workers: Annotated[int, typer.Option("--workers", min=1, metavar="N", help="Locust's workers.")] = 1,
    target: Annotated[
        str | None,
        typer.Option(
            "--target",
            parser=values.target,
            metavar="URL",
            help="http://, tcp:// or grpc://; else Bookinfo at the lab's gateway.",
        ),
    ] = None,
    locustfile: Annotated[
        Path | None, typer.Option("--locustfile", metavar="FILE", help="The users; else such as ask for the target.")
    ] = None,
    in_mesh: Annotated[
        bool, typer.Option("--in-mesh", help="Give the workers sidecars: the load comes from inside the mesh.")
    ] = False,
    version_by: Annotated[
        str | None,
        typer.Option(
            "--version-by",
            parser=version_source,
            metavar="WHERE",
            help="Where a response says its version: header:NAME or json:a.b.",
        ),
    ] = None,
    max_p99_ms: Annotated[
        float | None,
        typer.Option("--max-p99-ms", parser=positive, metavar="MS", help="Fail when the 99th percentile is above."),
    ] = None,
    max_error_ratio: Annotated[
        float,
        typer.Option("--max-error-ratio", parser=ratio, metavar="X", help="Fail when more requests fail, 0 to 1."),
    ] = 0.0,
    fail_if: Annotated[
        list[Limit] | None,
        typer.Option(
            "--fail-if",
            parser=limit,
            metavar="LIMIT",
            help="'p99>250ms', '/cart errors>1%', 'share(v2)>12%'; may be given more than once.",
        ),
    ] = None,
    reports: Annotated[
        Path | None,
        typer.Option(
            "--reports",
            metavar="DIR",
            help="Where CSV, HTML and JSON go; else a new folder in reports/load.",
            show_default=False,
        ),
    ] = None,
    ui: Annotated[bool, typer.Option("--ui", help="Open Locust's page on the host instead.")] = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="End a run that is under way first; else it is refused.")
    ] = False,
    output: OutputOption = "text",
    cluster: Annotated[
        str | None,
        typer.Option(
            "--cluster",
            metavar="KIND",
            help="Where the lab runs: embedded, kind, existing.",
            autocompletion=one_of(*CLUSTERS),
        ),
    ] = None,
) -> None:
    """Put load on the lab with Locust, and report figures and broken limits.

    Without --target and --locustfile it is Bookinfo's users, through the ingress gateway. Exit code 1 when a limit is
    broken. With `-o json` the progress goes to standard error.
    """
    if typed.invoked_subcommand is not None:
        return
    from mesh_lab.cli.load import load

    most = users or users_for(rate)
    settings = Settings(
        shape=shape.value,
        users=most,
        rate=rate,
        spawn_rate=spawn_rate or most,
        duration=duration or DURATION_SECONDS.get(shape, ELSE_SECONDS),
        steps=steps or STEPS,
        workers=workers,
        target=target or "",
        max_p99_ms=max_p99_ms,
        max_error_ratio=max_error_ratio,
        ui=ui,
        replace=replace,
        locustfile=locustfile,
        targeted=target is not None,
        page=target is not None and locustfile is None,
        warm_up=warm_up or 0.0,
        version_by=version_by or "",
        limits=tuple(fail_if or ()),
        in_mesh=in_mesh,
    )
    check(settings)
    load(context.lab(cluster), settings, reports=reports, output=output)


@loading.command(short_help="Compare two runs.")
def compare(
    first: Annotated[Path, typer.Argument(metavar="A", help="A run's folder, or its load.json.")],
    second: Annotated[Path, typer.Argument(metavar="B", help="The run that is held against it.")],
    output: OutputOption = "text",
) -> None:
    """Compare two runs: rate, errors and latencies, with the bounds within which a difference is no noise.

    Exit code 1 when the second run is worse in a figure.
    """
    from mesh_lab.cli.load import compare

    compare(first, second, output)
