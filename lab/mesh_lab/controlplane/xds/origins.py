"""Which resource a route or a cluster was made of, in its metadata, where `istioctl` and its users look for it.

`istioctl x describe` and the last column of `istioctl proxy-config routes` and `clusters` are made of it. Istio notes a
DestinationRule on every cluster of its host; here a rule that only adds subsets is noted on theirs, and leaves the
service's own cluster as it is, and with it all its connections. istioctl reads the first that has a note.
Source: pilot/pkg/networking/util of Istio 1.30, `BuildConfigInfoMetadata`.
"""

from __future__ import annotations

from functools import lru_cache

from envoy.config.core.v3.base_pb2 import Metadata
from google.protobuf.struct_pb2 import Struct, Value

_KEY = "istio"


def note(metadata: Metadata, kind: str, namespace: str, name: str) -> None:
    """Note the path of a networking resource; `kind` is in Istio's form, as `virtual-service`."""
    metadata.filter_metadata[_KEY].CopyFrom(_config(kind, namespace, name))


@lru_cache(maxsize=4096)
def _config(kind: str, namespace: str, name: str) -> Struct:
    path = f"/apis/networking.istio.io/v1/namespaces/{namespace}/{kind}/{name}"
    return Struct(fields={"config": Value(string_value=path)})
