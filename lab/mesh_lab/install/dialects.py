"""The vocabularies of the lab's mesh: the definitions of their kinds, and istiod told which it reads."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from mesh_lab.client.objects import Object
from mesh_lab.errors import LabError
from mesh_lab.install import placing

DEFINITIONS: Mapping[str, str] = {"consul": "dialects/consul.yaml"}
"""The manifests of definitions, by dialect. Istio's are part of the mesh, the Gateway API's the user's to install."""
_VARIABLE = "DIALECTS"


def control_plane(source: Path, directory: Path, dialects: Sequence[str]) -> Path:
    """Write istiod's manifest for these dialects into a directory; return the file.

    Raises:
        LabError: the manifest cannot be read, or the file cannot be written.
    """
    file = directory / source.with_suffix(".json").name
    items = [_told(obj, dialects) if obj["kind"] == "Deployment" else obj for obj in placing.read([source])]
    try:
        file.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": items}), encoding="utf-8")
    except OSError as error:
        raise LabError(f"cannot write {file}: {error.strerror}") from error
    return file


def _told(deployment: Object, dialects: Sequence[str]) -> Object:
    """The Deployment of istiod, with the variable that names the dialects."""
    template = deployment["spec"]["template"]
    first, *others = template["spec"]["containers"]
    env = [each for each in first.get("env") or () if each["name"] != _VARIABLE]
    first = first | {"env": [*env, {"name": _VARIABLE, "value": ",".join(dialects)}]}
    spec = template["spec"] | {"containers": [first, *others]}
    return deployment | {"spec": deployment["spec"] | {"template": template | {"spec": spec}}}
