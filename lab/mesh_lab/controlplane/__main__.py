"""istiod, as a pod: `python -m mesh_lab.controlplane`. Settings come from the environment, see `config`."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from mesh_lab.controlplane.process.config import Settings, from_environment, without_effect

if TYPE_CHECKING:
    from mesh_lab.controlplane.startup.assembly import Translation
    from mesh_lab.controlplane.world.findings import Finding
    from mesh_lab.controlplane.world.snapshot import Snapshot


def main() -> int:
    """Serve until SIGTERM or SIGINT; 0 then, 1 when the mesh's root cannot be used, 2 when this is not a pod."""
    logging.basicConfig(
        stream=sys.stdout, level=logging.INFO, format="%(asctime)s %(levelname)-7s %(name)s  %(message)s"
    )
    if ignored := without_effect(sys.argv[1:]):
        logging.getLogger(__name__).info("without effect here: %s", ", ".join(ignored))
    try:
        settings = from_environment(os.environ)
    except ValueError as error:
        print(f"istiod: {error}", file=sys.stderr)  # noqa: T201
        return 2
    try:
        asyncio.run(_serve(settings))
    except ExceptionGroup as group:
        from mesh_lab.controlplane.trust.plugged import UnusableRootError

        faults, rest = group.split(UnusableRootError)
        if faults is None or rest is not None:
            raise
        print(f"istiod: {_first(faults)}", file=sys.stderr)  # noqa: T201
        return 1
    return 0


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    first: BaseException = group
    while isinstance(first, BaseExceptionGroup):
        first = first.exceptions[0]
    return first


async def _serve(settings: Settings) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    # aiohttp reads the system's certificate authorities when it is imported, which takes 50 ms; only the cluster's own
    # is ever trusted here.
    os.environ.setdefault("SSL_CERT_FILE", os.devnull)
    # What is imported stays: no garbage is collected while it loads, and `_translation` exempts it for good.
    gc.disable()
    from mesh_lab.controlplane.startup.server import run

    await run(settings, stop, _translation)


def _translation() -> Translation:
    from mesh_lab.controlplane.report.analysis import analyse
    from mesh_lab.controlplane.startup.assembly import Translation
    from mesh_lab.controlplane.xds.generator import Generator

    gc.freeze()
    gc.enable()
    generator = Generator()

    def analysis(snapshot: Snapshot, failed: Callable[[str, Exception], object]) -> tuple[Finding, ...]:
        with generator.remembering():
            return analyse(snapshot, failed, generator.patched)

    return Translation(generator.generate, analysis, generator.remembering)


if __name__ == "__main__":
    sys.exit(main())
