"""The settings of a lab: `lab.toml`, overruled by the environment, as frozen structs.

Whatever is wrong in the file is reported with file, line and field, and keys that the lab does not know are refused:
otherwise a misspelt key would silently have no effect.
"""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from mesh_lab import dialectsettings
from mesh_lab.errors import LabError
from mesh_lab.meshkinds import DEFAULT_DIALECTS
from mesh_lab.tomlerrors import Source, dotted

FILE_NAME = "lab.toml"
DEFAULT_NAME = "lab"
CLUSTERS = ("embedded", "kind", "existing")
PROFILES = ("default", "demo")
IP_FAMILIES = ("ipv4", "dual")
MINIMUM_ISTIO = (1, 28)
KIND_NODE_IMAGE = (
    "kindest/node:v1.35.0@sha256:452d707d4862f52530247495d180205e029056831160e22870e37e3f6c1ac31f"  # of kind v0.31.0
)
NAME_PATTERN = r"^[a-z0-9]([-a-z0-9]{0,30}[a-z0-9])?$"

Name = Annotated[str, msgspec.Meta(pattern=NAME_PATTERN)]
PortOrAny = Annotated[int, msgspec.Meta(ge=0, le=65535)]
Port = Annotated[int, msgspec.Meta(ge=1, le=65535)]
Seconds = Annotated[int, msgspec.Meta(ge=1, le=3600)]
_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
HostName = Annotated[str, msgspec.Meta(pattern=rf"^(\*\.)?({_LABEL}\.)+{_LABEL}$", max_length=253)]
Address = Annotated[str, msgspec.Meta(pattern=r"^(\d{1,3}\.){3}\d{1,3}$")]
Version = Annotated[str, msgspec.Meta(pattern=r"^\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?$")]


class Ports(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the lab answers on the host's loopback; 0 takes any free port (`mesh-lab status` tells which)."""

    api: PortOrAny = 6443
    http: PortOrAny = 8080
    https: PortOrAny = 8443
    tcp: PortOrAny = 31400


class Timeouts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Limits in seconds: until the cluster answers, until all of the lab is ready, until it has stopped by itself."""

    cluster: Seconds = 60
    ready: Seconds = 180
    stop: Seconds = 20


class Image(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A program under an image's name, for the embedded cluster; `user` is the uid that it runs as.

    `path` is a folder that its containers see, and work in; `python` a virtual environment that they run on. Both are
    relative to the directory of lab.toml.
    """

    command: Annotated[list[str], msgspec.Meta(min_length=1)]
    args: list[str] = []
    env: dict[str, str] = {}
    user: Annotated[int, msgspec.Meta(ge=0)] | None = None
    path: str = ""
    python: str = ""


class HostPort(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A further Service's port that the host's loopback answers on `host_port`."""

    namespace: str
    service: str
    port: Port
    host_port: Port


class Site(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A name of the lab's internet, and what answers there; `*.NAME` stands for all names below NAME.

    `root` is the directory whose files a site that `serves` "files" has, and `addresses` are answered beside the one
    that the name resolves to. `https_only`: plain HTTP is answered by a redirection to HTTPS. On ports of `tcp` each
    byte comes back.
    """

    serves: Literal["page", "httpbin", "files", "nothing"] = "page"
    title: str = ""
    root: str = ""
    https_only: bool = False
    http: tuple[Port, ...] = (80,)
    https: tuple[Port, ...] = (443,)
    tcp: tuple[Port, ...] = ()
    addresses: tuple[Address, ...] = ()


class Internet(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What pods of the embedded cluster reach outside of it: the names of Istio's tasks, and those of `hosts`.

    `real` asks for a way out to the real internet, which the embedded cluster does not have.
    """

    enabled: bool = True
    real: bool = False
    hosts: dict[HostName, Site] = {}


class Mesh(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The lab's own mesh; its profiles are named after Istio's. Without `samples` users' namespaces are empty.

    `dialects` are the vocabularies that its control plane reads. Istio's is always among them: mTLS, injection, and the
    settings of the mesh are in its words only.
    """

    profile: Literal["default", "demo"] = "default"
    samples: bool = True
    dialects: tuple[dialectsettings.DialectName, ...] = DEFAULT_DIALECTS


class Kind(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A cluster made with kind. Zones are dealt out to the nodes in turn; `create_timeout` is in seconds."""

    version: Version = "0.31.0"
    provider: Literal["auto", "docker", "podman"] = "auto"
    nodes: Annotated[int, msgspec.Meta(ge=1, le=16)] = 1
    zones: Annotated[tuple[Name, ...], msgspec.Meta(min_length=1)] = ("zone-a", "zone-b")
    node_image: str = KIND_NODE_IMAGE
    registry_mirrors: dict[str, str] = {}
    create_timeout: Seconds = 600


class Istio(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Istio as `istioctl install` puts it on; `values` are Helm's. Time limits in seconds."""

    version: Version = "1.30.3"
    profile: str = "default"
    revision: Annotated[str, msgspec.Meta(pattern=r"^([a-z0-9]([-a-z0-9]{0,40}[a-z0-9])?)?$")] = ""
    values: dict[str, Any] = {}
    install_timeout: Seconds = 600


class Existing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A cluster that the lab did not make: the contexts that may be used, and where in it the lab's objects go."""

    contexts: list[str] = []
    kubeconfig: str = ""
    context: str = ""
    namespace: Name = "mesh-lab"
    image_prefix: str = ""
    install_istio: bool = False


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole of `lab.toml`. `ip_family` is kind's `networking.ipFamily`, of the embedded cluster as well."""

    name: Name = DEFAULT_NAME
    cluster: Literal["embedded", "kind", "existing"] = "embedded"
    ip_family: Literal["ipv4", "dual"] = "ipv4"
    ports: Ports = Ports()
    timeouts: Timeouts = Timeouts()
    images: dict[str, Image] = {}
    host_ports: list[HostPort] = []
    mesh: Mesh = Mesh()
    internet: Internet = Internet()
    kind: Kind = Kind()
    istio: Istio = Istio()
    existing: Existing = Existing()

    @property
    def own_ports(self) -> dict[str, int]:
        """The host's ports that this lab takes by [ports]: that for TCP only with a profile whose gateway has one."""
        ports: dict[str, int] = msgspec.structs.asdict(self.ports)
        return {label: port for label, port in ports.items() if label != "tcp" or self.mesh.profile == "demo"}

    @property
    def longest_up(self) -> int:
        """How many seconds an `up` takes at most."""
        limit = self.timeouts.cluster + self.timeouts.ready
        return limit if self.cluster == "embedded" else limit + self.kind.create_timeout + self.istio.install_timeout


@dataclass(frozen=True)
class Lab:
    """One lab: its settings, and the directory that holds its `lab.toml` and its state.

    `given_directory` is `--dir` as it was given, empty where the directory was found from the current one.
    """

    settings: Settings
    directory: Path
    given_directory: str = ""

    @property
    def name(self) -> str:
        """The lab's name, which is its node's too."""
        return self.settings.name

    @property
    def state_dir(self) -> Path:
        """What the lab keeps: `.lab`, or `.lab-NAME` for a lab of another name; `.lab.kind` when it is on kind.

        A name has no dot in it, so the directories of two labs are never the same.
        """
        base = ".lab" if self.name == DEFAULT_NAME else f".lab-{self.name}"
        return self.directory / (base if self.settings.cluster == "embedded" else f"{base}.{self.settings.cluster}")

    @property
    def tools_dir(self) -> Path:
        """Where `mesh-lab tools install` puts programs, for all labs of the directory."""
        return self.directory / ".lab" / "bin"

    @property
    def kubeconfig(self) -> Path:
        """The file that kubectl needs."""
        return self.state_dir / "kubeconfig"

    @property
    def tools_command(self) -> str:
        """The command that fills `tools_dir`."""
        return f"mesh-lab{self._place} tools install"

    @property
    def _place(self) -> str:
        return f" --dir {shlex.quote(self.given_directory)}" if self.given_directory else ""

    def command(self, verb: str) -> str:
        """How a person gives this lab a command, wherever its settings come from."""
        which = "" if self.name == DEFAULT_NAME else f" --name {self.name}"
        where = "" if self.settings.cluster == "embedded" else f" --cluster {self.settings.cluster}"
        return f"mesh-lab{self._place}{which} {verb}{where}"


_TEXT_VARIABLES = {"MESH_LAB_NAME": "name", "MESH_LAB_CLUSTER": "cluster", "MESH_LAB_IP_FAMILY": "ip_family"}
_PORT_VARIABLES = {f"MESH_LAB_{field.upper()}_PORT": field for field in Ports.__struct_fields__}
_PROFILE_VARIABLE = "MESH_LAB_PROFILE"


def load(
    directory: Path,
    environ: Mapping[str, str],
    *,
    name: str | None = None,
    cluster: str | None = None,
    profile: str | None = None,
    ip_family: str | None = None,
    samples: bool = True,
) -> Lab:
    """The lab of `directory`: defaults, its `lab.toml`, the environment, then the other arguments.

    `samples` False leaves the sample microservices out, whatever the file says.

    Raises:
        LabError: the file cannot be read or says something impossible (names file, line and field), or a variable does.
    """
    settings, source = _read(directory / FILE_NAME)
    changes: dict[str, Any] = {}
    for variable, field in _TEXT_VARIABLES.items():
        if environ.get(variable):
            changes[field] = environ[variable]
    ports = {
        field: _port(variable, environ[variable])
        for variable, field in _PORT_VARIABLES.items()
        if environ.get(variable)
    }
    if ports:
        changes["ports"] = msgspec.structs.replace(settings.ports, **ports)
    given = {"name": name, "cluster": cluster, "ip_family": ip_family}
    changes |= {field: value for field, value in given.items() if value}
    if wanted := profile or environ.get(_PROFILE_VARIABLE):
        changes["mesh"] = msgspec.structs.replace(settings.mesh, profile=_known_profile(wanted))
    if named := environ.get(dialectsettings.VARIABLE):
        mesh = changes.get("mesh", settings.mesh)
        changes["mesh"] = msgspec.structs.replace(mesh, dialects=dialectsettings.from_environment(named))
    if not samples:
        changes["mesh"] = msgspec.structs.replace(changes.get("mesh", settings.mesh), samples=False)
    settings = msgspec.structs.replace(settings, **changes)
    overruled = {("ports", field) for field in ports} | ({("mesh", "profile")} if wanted else set())
    overruled |= {("mesh", "dialects")} if named else set()
    source = replace(source, overruled=frozenset(overruled))
    if not re.match(NAME_PATTERN, settings.name):
        raise LabError(
            f"{settings.name!r} cannot be a lab's name",
            hint="Use at most 32 lower-case letters, digits and hyphens; it is the name of the lab's node, too.",
            exit_code=2,
        )
    if settings.cluster not in CLUSTERS:
        raise LabError(
            f"unknown cluster {settings.cluster!r}", hint=f"Known clusters: {', '.join(CLUSTERS)}.", exit_code=2
        )
    _refuse_other_families(settings, source)
    if settings.mesh.profile != "default" and settings.cluster != "embedded":
        raise LabError(
            f"{source.place('mesh', 'profile')}: {settings.mesh.profile} is for the embedded cluster",
            hint="Elsewhere Istio is installed by [istio] profile.",
            exit_code=2,
        )
    dialectsettings.refuse_wrong(settings.mesh.dialects, settings.cluster, source.place("mesh", "dialects"))
    if not settings.mesh.samples and settings.cluster != "embedded":
        where = source.place("mesh", "samples")
        raise LabError(f"{where}: only the embedded cluster comes up without the samples", exit_code=2)
    if settings.internet.real and settings.cluster == "embedded":
        raise LabError(
            f"{source.place('internet', 'real')}: the embedded cluster has no way out to the real internet",
            hint="Its network is joined to no network of this machine. On kind and existing clusters pods get out; "
            "here [internet.hosts] can stand in for further names.",
            exit_code=2,
        )
    _refuse_shared_ports(settings, source)
    _refuse_old_istio(settings, source)
    return Lab(settings, directory)


def find_directory(start: Path) -> Path:
    """The nearest directory from `start` upwards that holds a `lab.toml`; `start` itself where none does."""
    start = start.resolve()
    return next((d for d in (start, *start.parents) if (d / FILE_NAME).is_file()), start)


def place(directory: Path, *path: str) -> str:
    """`FILE:LINE: FIELD` of a field of the directory's `lab.toml`, for what turns out wrong only later."""
    file = directory / FILE_NAME
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        text = ""
    return Source(file, text).place(*path)


def _read(file: Path) -> tuple[Settings, Source]:
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return Settings(), Source(file)
    except OSError as error:
        raise LabError(f"cannot read {file}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise LabError(f"cannot read {file}: {error}") from error
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise LabError(f"{file} is not TOML: {error}") from error
    source = Source(file, text)
    try:
        return msgspec.convert(document, Settings), source
    except msgspec.ValidationError as error:
        words = source.explain(document, Settings, str(error))
        raise LabError(words, hint="README.md lists what lab.toml may say.") from error


def _port(variable: str, value: str) -> int:
    if not value.isascii() or not value.isdigit() or int(value) > 65535:
        raise LabError(f"{variable}: {value!r} is not a port", hint="0 to 65535; 0 takes any free one.", exit_code=2)
    return int(value)


def _known_profile(name: str) -> Literal["default", "demo"]:
    try:
        return msgspec.convert({"profile": name}, Mesh).profile
    except msgspec.ValidationError:
        raise LabError(
            f"unknown profile {name!r}", hint=f"Known profiles: {', '.join(PROFILES)}.", exit_code=2
        ) from None


def _refuse_other_families(settings: Settings, source: Source) -> None:
    where = source.place("ip_family")
    if settings.ip_family not in IP_FAMILIES:
        known = ", ".join(IP_FAMILIES)
        raise LabError(f"{where}: unknown IP family {settings.ip_family!r}", hint=f"There are: {known}.", exit_code=2)
    if settings.ip_family != "ipv4" and settings.cluster == "existing":
        hint = "Leave ip_family out: Services of two families, and Istio's ISTIO_DUAL_STACK, work where they do."
        raise LabError(f"{where}: an existing cluster has the families that it has", hint=hint, exit_code=2)


def _refuse_old_istio(settings: Settings, source: Source) -> None:
    if tuple(int(part) for part in settings.istio.version.split(".")[:2]) < MINIMUM_ISTIO:
        minimum = ".".join(str(part) for part in MINIMUM_ISTIO)
        where = source.place("istio", "version")
        raise LabError(f"{where}: {settings.istio.version} is too old; the lab needs {minimum} or later")


def _refuse_shared_ports(settings: Settings, source: Source) -> None:
    asked: list[tuple[tuple[str, ...], int]] = [(("ports", name), port) for name, port in settings.own_ports.items()]
    asked += [(("host_ports", f"[{i}]", "host_port"), entry.host_port) for i, entry in enumerate(settings.host_ports)]
    owners: dict[int, tuple[str, ...]] = {}
    for path, port in asked:
        if port and port in owners:
            raise LabError(f"{source.place(*path)}: {dotted(owners[port])} asks for port {port}, too", exit_code=2)
        owners[port] = path
