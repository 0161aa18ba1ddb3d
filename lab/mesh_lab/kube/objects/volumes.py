"""Volumes of pods, of the kinds that the node can make."""

from __future__ import annotations

import msgspec

from mesh_lab.kube.objects.containers import FieldRef, Quantity, ResourceFieldRef
from mesh_lab.kube.objects.meta import View


class KeyToPath(View, frozen=True, kw_only=True):
    """A key of a ConfigMap or Secret as a file."""

    key: str
    path: str
    mode: int | None = None


class ConfigMapVolume(View, frozen=True, kw_only=True):
    """A ConfigMap's keys as files."""

    name: str = ""
    items: tuple[KeyToPath, ...] = ()
    default_mode: int = 0o644
    optional: bool = False


class SecretVolume(View, frozen=True, kw_only=True):
    """A Secret's keys as files."""

    secret_name: str = ""
    items: tuple[KeyToPath, ...] = ()
    default_mode: int = 0o644
    optional: bool = False


class EmptyDir(View, frozen=True, kw_only=True):
    """A directory that lives as long as the pod."""

    medium: str = ""
    size_limit: Quantity | None = None


class DownwardFile(View, frozen=True, kw_only=True):
    """A field of the pod as a file."""

    path: str
    field_ref: FieldRef | None = None
    resource_field_ref: ResourceFieldRef | None = None
    mode: int | None = None


class DownwardVolume(View, frozen=True, kw_only=True):
    """Fields of the pod as files."""

    items: tuple[DownwardFile, ...] = ()
    default_mode: int = 0o644


class TokenProjection(View, frozen=True, kw_only=True):
    """A token of the pod's service account as a file, renewed while the pod runs."""

    path: str
    audience: str = ""
    expiration_seconds: int = 3600


class SecretProjection(View, frozen=True, kw_only=True):
    """A Secret's keys within a projected volume."""

    name: str = ""
    items: tuple[KeyToPath, ...] = ()
    optional: bool = False


class ConfigMapProjection(View, frozen=True, kw_only=True):
    """A ConfigMap's keys within a projected volume."""

    name: str = ""
    items: tuple[KeyToPath, ...] = ()
    optional: bool = False


class DownwardProjection(View, frozen=True, kw_only=True):
    """Fields of the pod within a projected volume."""

    items: tuple[DownwardFile, ...] = ()


class Projection(View, frozen=True, kw_only=True):
    """One source of a projected volume."""

    secret: SecretProjection | None = None
    config_map: ConfigMapProjection | None = None
    downward_api: DownwardProjection | None = msgspec.field(default=None, name="downwardAPI")
    service_account_token: TokenProjection | None = None


class ProjectedVolume(View, frozen=True, kw_only=True):
    """Several sources in one directory."""

    sources: tuple[Projection, ...] = ()
    default_mode: int = 0o644


class Volume(View, frozen=True, kw_only=True):
    """A named volume; one source is set, or none when it is of a kind that this node cannot provide."""

    name: str
    config_map: ConfigMapVolume | None = None
    secret: SecretVolume | None = None
    empty_dir: EmptyDir | None = None
    downward_api: DownwardVolume | None = msgspec.field(default=None, name="downwardAPI")
    projected: ProjectedVolume | None = None
