"""The same manifests in another place: a namespace, labels, a gateway and images of the lab's own.

For existing clusters, and for control planes with a revision. What an object does stays as it is.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mesh_lab.client.objects import Object
from mesh_lab.errors import LabError

_OWN_IMAGES = "mesh-lab/"
_GATEWAY_LABEL = "istio"
_SHARED_GATEWAY = "ingressgateway"


@dataclass(frozen=True)
class Place:
    """Where objects go. `gateway` is the value of the label `istio` of the lab's own ingress gateway."""

    namespace: str
    labels: Mapping[str, str]
    gateway: str = _SHARED_GATEWAY
    image_prefix: str = ""


def read(files: Sequence[Path]) -> list[Object]:
    """Return the objects of manifests, in their order.

    Raises:
        LabError: a file cannot be read; names it.
    """
    import yaml

    objects: list[Object] = []
    for file in files:
        try:
            documents = yaml.load_all(file.read_text(encoding="utf-8"), getattr(yaml, "CSafeLoader", yaml.SafeLoader))
            objects += [document for document in documents if document]
        except OSError as error:
            raise LabError(f"cannot read {file}: {error.strerror}") from error
        except yaml.YAMLError as error:
            raise LabError(f"{file} is not YAML: {error}") from error
    return objects


def placed(objects: Sequence[Object], place: Place) -> list[Object]:
    """The objects in their new place. Namespaces among them are left out: the place has one."""
    return [_placed(obj, place) for obj in objects if obj["kind"] != "Namespace"]


def namespace(place: Place, injection: tuple[str, str]) -> Object:
    """The place's namespace; `injection` is the label by which its pods get sidecars."""
    labels = {**place.labels, injection[0]: injection[1]}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": place.namespace, "labels": labels}}


def _placed(obj: Object, place: Place) -> Object:
    moved = copy.deepcopy(obj)
    metadata = moved["metadata"]
    metadata["namespace"] = place.namespace
    metadata["labels"] = {**metadata.get("labels", {}), **place.labels}
    for labels in _gateway_labels(moved):
        if labels.get(_GATEWAY_LABEL) == _SHARED_GATEWAY:
            labels[_GATEWAY_LABEL] = place.gateway
    for container in _containers(moved):
        if container.get("image", "").startswith(_OWN_IMAGES):
            container["image"] = f"{place.image_prefix}{container['image']}"
    return moved


def _gateway_labels(obj: Object) -> Iterator[dict[str, str]]:
    """Every set of labels or selector that may name the ingress gateway."""
    spec = obj.get("spec", {})
    template = spec.get("template", {}) if obj["kind"] == "Deployment" else {}
    candidates = (
        obj["metadata"].get("labels"),
        spec.get("selector", {}).get("matchLabels") if obj["kind"] == "Deployment" else spec.get("selector"),
        template.get("metadata", {}).get("labels"),
    )
    yield from (candidate for candidate in candidates if isinstance(candidate, dict))


def _containers(obj: Object) -> Iterator[Object]:
    spec = obj.get("spec", {}).get("template", {}).get("spec", {}) if obj["kind"] == "Deployment" else {}
    yield from (*spec.get("initContainers", []), *spec.get("containers", []))
