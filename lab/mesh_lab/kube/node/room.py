"""What pods ask of the node, and whether there is enough left of it.

https://kubernetes.io/docs/concepts/configuration/manage-resources-containers/#how-pods-with-resource-requests-are-scheduled
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal

from mesh_lab.kube.objects.containers import Quantity
from mesh_lab.kube.objects.pods import Pod
from mesh_lab.kube.registry import quantities

Amounts = Mapping[str, Decimal]
_NONE = Decimal(0)


def requests(pod: Pod) -> dict[str, Decimal]:
    """What the pod asks for, itself as one of the node's `pods` included.

    That is the most that it ever needs at once: its containers and sidecars together, or an init container with the
    sidecars before it; what the pod as a whole asks for wins. https://kubernetes.io/docs/concepts/workloads/pods/sidecar-containers/
    """
    total = dict[str, Decimal]()
    for container in pod.spec.containers:
        _add(total, amounts(container.resources.requests))
    beside, most = dict[str, Decimal](), dict[str, Decimal]()
    for container in pod.spec.init_containers:
        own = amounts(container.resources.requests)
        if container.is_sidecar:
            _add(beside, own)
            _add(total, own)
            continue
        _add(own, beside)
        most = {name: max(most.get(name, _NONE), own.get(name, _NONE)) for name in {*most, *own}}
    wanted = {name: max(total.get(name, _NONE), most.get(name, _NONE)) for name in {*total, *most}}
    wanted |= amounts(pod.spec.resources.requests)
    _add(wanted, amounts(pod.spec.overhead))
    return {**wanted, "pods": Decimal(1)}


def amounts(written: Mapping[str, Quantity]) -> dict[str, Decimal]:
    """Quantities as numbers."""
    return {name: quantities.parse(str(text)) for name, text in written.items()}


class Room:
    """What is taken of the node. `freed` is called when some of it is given back."""

    def __init__(self, freed: Callable[[], None]) -> None:
        self._freed = freed
        self._taken: dict[str, Amounts] = {}

    def lacking(self, pod: Pod, allocatable: Amounts) -> list[str]:
        """Of what there is too little for the pod beside those that are here; in the order of names."""
        used = dict[str, Decimal]()
        for uid, taken in self._taken.items():
            if uid != pod.metadata.uid:
                _add(used, taken)
        return sorted(
            name
            for name, wanted in requests(pod).items()
            if wanted and used.get(name, _NONE) + wanted > allocatable.get(name, _NONE)
        )

    def take(self, pod: Pod) -> None:
        """Count the pod's requests as used, whether or not there is enough."""
        self._taken[pod.metadata.uid] = requests(pod)

    def give_back(self, pod: Pod) -> None:
        """The pod needs nothing any more; harmless when it has taken nothing."""
        if self._taken.pop(pod.metadata.uid, None) is not None:
            self._freed()


def _add(total: dict[str, Decimal], more: Amounts) -> None:
    for name, amount in more.items():
        total[name] = total.get(name, _NONE) + amount
