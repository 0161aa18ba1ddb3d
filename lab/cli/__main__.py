"""`python -m lab.cli`: the same as `mesh-lab`, for a checkout that is not installed."""

from __future__ import annotations

from lab.cli import main

main()
