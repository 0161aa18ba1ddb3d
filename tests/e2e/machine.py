"""Runs one virtual machine until it ends: `-m tests.e2e.machine KUBECONFIG KIND NAMESPACE OBJECT NAME -- COMMAND`.

A program of its own, so that a test can kill it as a person's terminal is closed. `mesh-lab vm run` wants a lab's
directory, which tests do not know.
"""

from __future__ import annotations

import sys
from pathlib import Path

from mesh_lab.client import machines
from mesh_lab.client.api import Api
from mesh_lab.client.machines import Machine

WAIT_SECONDS = 30.0


def main() -> int:
    kubeconfig, kind, namespace, obj, name, _, *command = sys.argv[1:]
    with Api(Path(kubeconfig)) as api:
        files, address = machines.files_for(api, kind, namespace, obj)
        for event in machines.run(api, Machine(namespace, name, files, address, command, WAIT_SECONDS)):
            sys.stdout.write(event.get("out", "") + event.get("err", ""))
            sys.stdout.flush()
            if "exit" in event:
                return int(event["exit"])
    return 1


if __name__ == "__main__":
    sys.exit(main())
