"""A running cluster for pytest-kubernetes: found by its kubeconfig, neither created nor deleted."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from pytest_kubernetes.options import ClusterOptions
from pytest_kubernetes.providers.base import AClusterManager

from mesh_lab.client.kubectl import program


class RunningCluster(AClusterManager):  # type: ignore[misc] # the package has no types
    """Works on a copy of the kubeconfig: pytest-kubernetes deletes the one that it holds when it is done."""

    _created = False

    def __init__(self, kubeconfig: Path, scratch: Path, name: str = "mesh-lab") -> None:
        copy = scratch / "kubeconfig"
        shutil.copyfile(kubeconfig, copy)
        copy.chmod(0o600)
        super().__init__(name, None, copy)

    @classmethod
    def get_binary_name(cls) -> str:
        """pytest-kubernetes looks for its provider's program; for a cluster that runs, kubectl is all."""
        return program()

    def _on_create(self, cluster_options: ClusterOptions, **kwargs: Any) -> None:
        raise NotImplementedError("the cluster of a kubeconfig is not created by its tests: `make lab-up` does that")

    def _on_delete(self) -> None:
        """Leave the cluster as it is."""

    def load_image(self, image: str) -> None:
        """Images are the cluster's own affair.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError(f"{image}: this cluster takes its images from where it was set up")
