"""istiod, as a pod: `python -m lab.controlplane`. Settings come from the environment, see `config`."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys

from lab.controlplane.config import Settings, from_environment


def main() -> int:
    """Serve until SIGTERM or SIGINT; 0 then, 2 when the environment is not that of a pod."""
    logging.basicConfig(
        stream=sys.stdout, level=logging.INFO, format="%(asctime)s %(levelname)-7s %(name)s  %(message)s"
    )
    try:
        settings = from_environment(os.environ)
    except ValueError as error:
        print(f"istiod: {error}", file=sys.stderr)  # noqa: T201
        return 2
    asyncio.run(_serve(settings))
    return 0


async def _serve(settings: Settings) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    # aiohttp reads the system's certificate authorities when it is imported, which takes 50 ms; only the cluster's own
    # is ever trusted here.
    os.environ.setdefault("SSL_CERT_FILE", os.devnull)
    from lab.controlplane.analysis import analyse
    from lab.controlplane.server import Translation, run
    from lab.controlplane.xds.generator import Generator

    await run(settings, stop, Translation(Generator().generate, analyse))


if __name__ == "__main__":
    sys.exit(main())
