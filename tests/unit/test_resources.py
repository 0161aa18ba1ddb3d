from __future__ import annotations

from pathlib import Path

import pytest

from mesh_lab import resources

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("found", "place", "sample"),
    [
        (resources.MANIFESTS, "manifests", "mesh/crds.yaml"),
        (resources.LOADTESTS, "loadtests", "meshload.py"),
        (resources.IMAGES, "images", "Dockerfile"),
    ],
)
def test_in_a_checkout_the_files_are_those_at_its_top(found: Path, place: str, sample: str) -> None:
    assert found == ROOT / place
    assert (found / sample).is_file()


@pytest.mark.parametrize("name", ["requirements.lock", "lab.toml"])
def test_the_lock_and_the_settings_travel_too(name: str) -> None:
    assert (resources.LOCK.parent / name).read_text() == (ROOT / name).read_text()
