"""`python -m mesh_lab.cli`: the same as `mesh-lab`, for a checkout that is not installed."""

from __future__ import annotations

from mesh_lab.cli import main

main()
