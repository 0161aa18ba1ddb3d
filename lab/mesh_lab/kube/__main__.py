"""The kube process, as `mesh-lab up` starts it: `python -m mesh_lab.kube --config-fd N`."""

from __future__ import annotations

import contextlib
import gc
import os
import sys
from collections.abc import Iterator

_AUTHORITIES = "SSL_CERT_FILE"


def main(arguments: list[str]) -> int:
    """See `mesh_lab.kube.main`."""
    # Imported objects live as long as the process: scanning them for cycles costs a third of the time to start.
    gc.disable()
    with _no_authorities():
        from mesh_lab.kube.main import main as run
    gc.freeze()
    gc.enable()
    return run(arguments)


@contextlib.contextmanager
def _no_authorities() -> Iterator[None]:
    """Let no certificate authorities of the system be found.

    aiohttp reads them when it is imported, for a context that is never used here: 40 ms, and 0.7 MB that stay.
    """
    before = os.environ.get(_AUTHORITIES)
    os.environ[_AUTHORITIES] = os.devnull
    try:
        yield
    finally:
        del os.environ[_AUTHORITIES]
        if before is not None:
            os.environ[_AUTHORITIES] = before


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
