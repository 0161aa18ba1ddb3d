"""`python -m mesh_lab.apps.outside DESCRIPTOR`, as the kube process starts it."""

from __future__ import annotations

import sys

from mesh_lab.apps.outside.program import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
