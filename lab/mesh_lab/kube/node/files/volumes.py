"""A pod's volumes: directories on the node, filled before the pod starts and kept up to date while it runs.

They live on a tmpfs that only the lab sees. ConfigMaps, Secrets, tokens and fields of the pod change under a running
container as they do with a kubelet, only sooner: the node watches, it does not poll.
"""

from __future__ import annotations

import base64
import os
import shutil
import stat
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from mesh_lab.kube.errors import ApiError
from mesh_lab.kube.node.env import ConfigProblem, Surroundings, field_value, resource_value
from mesh_lab.kube.node.files.atomic import AtomicDirectory, FileContent
from mesh_lab.kube.node.runtime import syscalls
from mesh_lab.kube.objects.containers import VolumeMount
from mesh_lab.kube.objects.pods import Pod
from mesh_lab.kube.objects.volumes import (
    ConfigMapProjection,
    DownwardFile,
    DownwardProjection,
    ProjectedVolume,
    Projection,
    SecretProjection,
    TokenProjection,
    Volume,
)
from mesh_lab.kube.registry.syntax import quantities

_RENEW_AFTER = 0.8  # of a token's life
_RETRY_SECONDS = 30.0


class MountProblem(Exception):  # noqa: N818 - the kubelet's own word for it is FailedMount
    """A volume cannot be set up now. The caller retries: its source may be created later."""


class Tokens(Protocol):
    """Issues service-account tokens."""

    def issue(
        self,
        namespace: str,
        service_account: str,
        *,
        audiences: Iterable[str] = (),
        expires_s: int = 3600,
        pod: tuple[str, str] | None = None,
    ) -> tuple[str, datetime]:
        """Issue a token; return it with its expiry."""
        ...


@dataclass
class _Token:
    text: str
    renew_at: float


class PodVolumes:
    """The volumes of one pod, below `directory`."""

    def __init__(self, pod: Pod, directory: Path, tokens: Tokens) -> None:
        self._pod = pod
        self._directory = directory
        self._issuer = tokens
        self._tokens: dict[tuple[str, TokenProjection], _Token] = {}
        self._written: dict[str, AtomicDirectory] = {}

    @property
    def renew_at(self) -> float:
        """The time when the next token must be renewed, on the monotonic clock; infinity without tokens."""
        return min((token.renew_at for token in self._tokens.values()), default=float("inf"))

    def set_up(self, pod: Pod, around: Surroundings) -> None:
        """Make all volumes, or update them from the pod and the objects that they show.

        Raises:
            MountProblem: a volume's source is missing, or of a kind that this node does not have.
        """
        self._pod = pod
        for volume in pod.spec.volumes:
            try:
                self._set_up(volume, around)
            except (MountProblem, ConfigProblem) as problem:
                raise MountProblem(f'MountVolume.SetUp failed for volume "{volume.name}" : {problem}') from None
            except ApiError as error:
                text = f"failed to fetch token: {error.message}"
                raise MountProblem(f'MountVolume.SetUp failed for volume "{volume.name}" : {text}') from None
            except OSError as error:
                text = f'MountVolume.SetUp failed for volume "{volume.name}" : {error.strerror}'
                raise MountProblem(text) from error

    def mentions(self, plural: str, name: str) -> bool:
        """Return whether a volume shows the ConfigMap or Secret of that name."""
        return any((plural, name) in set(_references(volume)) for volume in self._pod.spec.volumes)

    def is_read_only(self, name: str) -> bool:
        """Return whether containers may not write to the volume, which only an emptyDir lets them."""
        return any(volume.name == name and volume.empty_dir is None for volume in self._pod.spec.volumes)

    def source(self, mount: VolumeMount, sub_path: str) -> tuple[str, str]:
        """Return what to bind for a mount: the volume's directory, and the path inside of it (or nothing).

        Raises:
            ConfigProblem: the path leads out of the volume.
        """
        directory = self._path(mount.name)
        if sub_path:
            _make_sub_path(directory, sub_path)
        return str(directory), sub_path

    def remove(self) -> None:
        """Delete all volumes."""
        # One that was made before the runtime died is unknown to this object.
        for path in (self._directory / "volumes").glob("*"):
            if path.is_mount():
                syscalls.unmount(str(path))
        shutil.rmtree(self._directory, ignore_errors=True)

    def _path(self, name: str) -> Path:
        return self._directory / "volumes" / name

    def _set_up(self, volume: Volume, around: Surroundings) -> None:
        if volume.empty_dir is not None:
            self._empty(volume, int(quantities.parse(str(volume.empty_dir.size_limit or 0))))
            return
        sources, mode = _projections(volume)
        files: dict[str, FileContent] = {}
        for source in sources:
            files.update(self._project(volume.name, source, mode, around))
        if volume.name not in self._written:
            group = self._pod.spec.security_context.fs_group
            self._written[volume.name] = AtomicDirectory(self._path(volume.name), group)
        self._written[volume.name].write(files)

    def _empty(self, volume: Volume, size: int) -> None:
        """A directory; one of a limited `size` in bytes (0: of none) is a file system of its own, which may be full."""
        path = self._path(volume.name)
        if path.exists():
            return
        path.mkdir(parents=True)
        try:
            if size > 0:
                syscalls.mount("tmpfs", str(path), syscalls.MS_NOSUID | syscalls.MS_NODEV, f"size={size}")
        except OSError:
            path.rmdir()
            raise
        path.chmod(0o777)
        if (group := self._pod.spec.security_context.fs_group) is not None:
            os.chown(path, -1, group)
            path.chmod(0o777 | stat.S_ISGID)

    def _project(self, volume: str, source: Projection, mode: int, around: Surroundings) -> dict[str, FileContent]:
        namespace = self._pod.metadata.namespace
        if (wanted := source.config_map) is not None:
            found = around.config_map(namespace, wanted.name)
            data = None if found is None else _config_map_bytes(found)
            return _keys(wanted, data, mode, "configmap", namespace)
        if (secret := source.secret) is not None:
            found = around.secret(namespace, secret.name)
            data = None if found is None else _secret_bytes(found)
            return _keys(secret, data, mode, "secret", namespace)
        if source.downward_api is not None:
            items = source.downward_api.items
            return {item.path: FileContent(self._field(item, around), item.mode or mode) for item in items}
        if source.service_account_token is not None:
            token = self._token(volume, source.service_account_token)
            return {source.service_account_token.path: FileContent(token.encode(), mode)}
        raise MountProblem("a source of it is of a kind that the lab does not have")

    def _field(self, item: DownwardFile, around: Surroundings) -> bytes:
        if item.field_ref is not None:
            return field_value(self._pod, item.field_ref, around).encode()
        if item.resource_field_ref is not None:
            return resource_value(self._pod, item.resource_field_ref, around).encode()
        return b""

    def _token(self, volume: str, wanted: TokenProjection) -> str:
        now = time.monotonic()
        token = self._tokens.get((volume, wanted))
        if token is not None and now < token.renew_at:
            return token.text
        metadata = self._pod.metadata
        try:
            text, ends = self._issuer.issue(
                metadata.namespace,
                self._pod.spec.service_account_name or "default",
                audiences=(wanted.audience,) if wanted.audience else (),
                expires_s=wanted.expiration_seconds,
                pod=(metadata.name, metadata.uid),
            )
        except ApiError:
            if token is None:
                raise
            token.renew_at = now + _RETRY_SECONDS  # the old one is valid for a while yet
            return token.text
        life = ends.timestamp() - time.time()
        self._tokens[volume, wanted] = _Token(text, now + _RENEW_AFTER * life)
        return text


def _projections(volume: Volume) -> tuple[tuple[Projection, ...], int]:
    """Every kind of volume with files is a projected one with one source."""
    if volume.projected is not None:
        return volume.projected.sources, volume.projected.default_mode
    if (config_map := volume.config_map) is not None:
        source = ConfigMapProjection(name=config_map.name, items=config_map.items, optional=config_map.optional)
        return (Projection(config_map=source),), config_map.default_mode
    if (secret := volume.secret) is not None:
        one = SecretProjection(name=secret.secret_name, items=secret.items, optional=secret.optional)
        return (Projection(secret=one),), secret.default_mode
    if (downward := volume.downward_api) is not None:
        return (Projection(downward_api=DownwardProjection(items=downward.items)),), downward.default_mode
    raise MountProblem(
        "it is of a kind that the lab does not have; it has configMap, secret, emptyDir, downwardAPI and projected"
    )


def _references(volume: Volume) -> Iterable[tuple[str, str]]:
    sources = (volume.projected or ProjectedVolume()).sources
    for config_map in (volume.config_map, *(s.config_map for s in sources)):
        if config_map is not None:
            yield "configmaps", config_map.name
    if volume.secret is not None:
        yield "secrets", volume.secret.secret_name
    for source in sources:
        if source.secret is not None:
            yield "secrets", source.secret.name


def _keys(
    wanted: ConfigMapProjection | SecretProjection,
    data: Mapping[str, bytes] | None,
    mode: int,
    what: str,
    namespace: str,
) -> dict[str, FileContent]:
    if data is None:
        if wanted.optional:
            return {}
        raise MountProblem(f'{what} "{wanted.name}" not found')
    if not wanted.items:
        return {key: FileContent(value, mode) for key, value in data.items()}
    files: dict[str, FileContent] = {}
    for item in wanted.items:
        if item.key in data:
            files[item.path] = FileContent(data[item.key], mode if item.mode is None else item.mode)
        elif not wanted.optional:
            raise MountProblem(f"{what} {namespace}/{wanted.name} references non-existent key: {item.key}")
    return files


def _config_map_bytes(data: Mapping[str, Any]) -> dict[str, bytes]:
    texts = {key: text.encode() for key, text in (data.get("data") or {}).items()}
    return texts | {key: base64.b64decode(value) for key, value in (data.get("binaryData") or {}).items()}


def _secret_bytes(data: Mapping[str, Any]) -> dict[str, bytes]:
    return {key: base64.b64decode(value) for key, value in (data.get("data") or {}).items()}


def _make_sub_path(directory: Path, sub_path: str) -> None:
    """Make the directories of a subPath that are missing, never through a link that a container may have planted."""
    parts = [part for part in sub_path.split("/") if part not in ("", ".")]
    if ".." in parts or sub_path.startswith("/"):
        raise ConfigProblem(f"subPath {sub_path}: must be a relative path inside of the volume")
    here = os.open(directory, os.O_PATH | os.O_DIRECTORY)
    try:
        for part in parts:
            try:
                os.mkdir(part, 0o750, dir_fd=here)
                os.chmod(part, 0o777, dir_fd=here)
            except FileExistsError:
                if not stat.S_ISDIR(os.lstat(part, dir_fd=here).st_mode):
                    return  # a file or a link: the runtime looks it up, confined to the volume
            below = os.open(part, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=here)
            os.close(here)
            here = below
    finally:
        os.close(here)
