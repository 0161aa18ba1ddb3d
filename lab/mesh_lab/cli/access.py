"""Access to a running lab's API, or an error that says why there is none."""

from __future__ import annotations

from mesh_lab.client.api import Api
from mesh_lab.clusters.base import ClusterStatus
from mesh_lab.clusters.selection import open_cluster
from mesh_lab.errors import LabError
from mesh_lab.settings import Lab


def require_running(lab: Lab) -> ClusterStatus:
    """Return the status of a lab that runs, ready or not.

    Raises:
        LabError: the lab is down.
    """
    status = open_cluster(lab).status()
    if not status.running:
        raise LabError(
            f"the lab {lab.name!r} of {lab.directory} is not up",
            hint=f"`{lab.command('up')}` (or `make lab-up`) brings it up; elsewhere: `mesh-lab --dir FOLDER`.",
        )
    return status


def require_up(lab: Lab) -> ClusterStatus:
    """Return the status of a lab that is ready.

    Raises:
        LabError: the lab is down, or not ready yet.
    """
    status = require_running(lab)
    if status.phase != "ready":
        raise LabError(
            f"the lab {lab.name!r} is {status.phase}", hint=f"`{lab.command('up')}` waits until it is ready."
        )
    return status


def connect(lab: Lab) -> Api:
    """Return the API of a lab that is ready.

    Raises:
        LabError: the lab is not ready, or its kubeconfig cannot be used.
    """
    require_up(lab)
    if not lab.kubeconfig.exists():
        raise LabError(
            f"the lab is up, but its kubeconfig {lab.kubeconfig} is gone",
            hint=f"`{lab.command('down')}` and `{lab.command('up')}` write it anew; the lab's objects are kept.",
        )
    return Api(lab.kubeconfig)
