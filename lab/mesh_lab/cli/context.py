"""The options before the command: they choose the lab, which is opened when a command needs it, not before."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path

import msgspec

from mesh_lab.errors import LabError
from mesh_lab.settings import Lab, find_directory, load


class Context:
    """The global options of one invocation."""

    def __init__(self) -> None:
        self.name: str | None = None
        self.directory: Path | None = None
        self._lab: Lab | None = None

    def lab(
        self,
        cluster: str | None = None,
        profile: str | None = None,
        ip_family: str | None = None,
        *,
        samples: bool = True,
        **existing: str | bool,
    ) -> Lab:
        """Return the lab that is meant; `existing` are options that overrule [existing] in lab.toml.

        Raises:
            LabError: `lab.toml`, a variable or an option is wrong.
        """
        directory = self.directory
        if directory is not None and not directory.is_dir():
            raise LabError(f"{directory} is not a directory", exit_code=2)
        place = directory.resolve() if directory else find_directory(Path.cwd())
        found = load(
            place, os.environ, name=self.name, cluster=cluster, profile=profile, ip_family=ip_family, samples=samples
        )
        lab = dataclasses.replace(found, given_directory=str(directory or ""))
        self._lab = _with_options(lab, existing)
        return self._lab

    def state_dir(self) -> Path | None:
        """Where a report of a fault may go; None before it is known."""
        return self._lab.state_dir if self._lab else None


context = Context()
"""Of this process: a command line is one invocation."""


def _with_options(lab: Lab, existing: Mapping[str, str | bool]) -> Lab:
    given = {field: value for field, value in existing.items() if value}
    if not given:
        return lab
    if lab.settings.cluster != "existing":
        options = ", ".join(f"--{field.replace('_', '-')}" for field in given)
        raise LabError(f"{options}: only with --cluster existing", exit_code=2)
    if file := given.get("kubeconfig"):
        # A path on the command line is meant from here, one in lab.toml from there.
        given["kubeconfig"] = str(Path(str(file)).expanduser().absolute())
    changed = msgspec.structs.replace(lab.settings.existing, **given)
    return dataclasses.replace(lab, settings=msgspec.structs.replace(lab.settings, existing=changed))
