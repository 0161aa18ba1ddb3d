"""The kube process, as `mesh-lab up` starts it: `python -m mesh_lab.kube --config-fd N`."""

from __future__ import annotations

import gc
import sys


def main(arguments: list[str]) -> int:
    """See `mesh_lab.kube.main`."""
    # Imported objects live as long as the process: scanning them for cycles costs a third of the time to start.
    gc.disable()
    from mesh_lab.kube.main import main as run

    gc.freeze()
    gc.enable()
    return run(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
