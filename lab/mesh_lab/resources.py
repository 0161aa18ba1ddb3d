"""The files that travel with the package: manifests, load tests, lessons, and what container images are built from.

In a checkout they lie at its top, where people look for them; `data` leads there. A wheel has copies of them in `data`.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

_DATA = Path(str(files("mesh_lab") / "data"))

MANIFESTS = (_DATA / "manifests").resolve()
LOADTESTS = (_DATA / "loadtests").resolve()
IMAGES = (_DATA / "images").resolve()
LESSONS = (_DATA / "lessons").resolve()
NEW_LESSON = LESSONS / "_new"
LOCK = _DATA / "requirements.lock"
"""The versions that the lab was tested with, which the images are built of, too."""
