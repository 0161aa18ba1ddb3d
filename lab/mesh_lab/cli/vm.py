"""The commands of `mesh-lab vm`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mesh_lab.cli.context import context
from mesh_lab.cli.values import namespaces, positive

vm = typer.Typer(
    help="Virtual machines of the embedded lab: programs with a sidecar in network namespaces of their own, no pods.",
    no_args_is_help=True,
)

MachineNamespace = Annotated[
    str,
    typer.Option(
        "-n", "--namespace", metavar="NAME", help="Whose mesh workload it is; else default.", autocompletion=namespaces
    ),
]


@vm.command(name="run", short_help="Run a machine until its program ends.")
def run_machine(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of the machine, and of its WorkloadEntry.")],
    command: Annotated[
        list[str] | None, typer.Argument(metavar="[-- COMMAND...]", help="Its program.", show_default=False)
    ] = None,
    namespace: MachineNamespace = "default",
    group: Annotated[
        str, typer.Option("--group", metavar="NAME", help="The WorkloadGroup that it registers with by itself.")
    ] = "",
    files: Annotated[
        Path | None,
        typer.Option(
            "--files",
            metavar="DIR",
            help="What `istioctl x workload entry configure -o DIR` wrote.",
            show_default=False,
        ),
    ] = None,
    address: Annotated[
        str, typer.Option("--address", metavar="IP", help="Else that of its WorkloadEntry, or any that is free.")
    ] = "",
    wait: Annotated[
        float, typer.Option("--wait", parser=positive, metavar="SECONDS", help="For its sidecar, before its program.")
    ] = 60.0,
) -> None:
    """Run a machine until its program ends, or this command does. Its program starts once its sidecar is ready.

    Without --group and --files, the WorkloadEntry NAME says what it is: address, service account, ports and labels.
    """
    from mesh_lab.cli import machines

    machines.run(
        context.lab(),
        name,
        command or [],
        namespace=namespace,
        group=group,
        directory=files,
        address=address,
        wait=wait,
    )


@vm.command(name="exec", short_help="Run a command in a machine.")
def execute_in_machine(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of a machine that runs.")],
    command: Annotated[list[str] | None, typer.Argument(metavar="-- COMMAND...", show_default=False)] = None,
    namespace: MachineNamespace = "default",
) -> None:
    """Run a command in a machine, without input, and end with its exit code."""
    from mesh_lab.cli import machines

    machines.execute(context.lab(), name, command or [], namespace=namespace)


@vm.command(name="list", short_help="List the machines that run.")
def list_machines() -> None:
    """List the machines that run, with their addresses."""
    from mesh_lab.cli import machines

    machines.show(context.lab())
