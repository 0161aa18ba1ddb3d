"""`Behaviour`: what one kind does differently when it is written, deleted, selected, printed and proxied to."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network
from typing import Protocol

from mesh_lab.kube.changes import Object
from mesh_lab.kube.errors import ApiError, Cause
from mesh_lab.kube.registry.options import WriteOptions
from mesh_lab.kube.registry.printing.columns import PLAIN, Printer
from mesh_lab.kube.registry.rules.fields import Rules
from mesh_lab.kube.registry.syntax import names
from mesh_lab.kube.resources import Resource
from mesh_lab.kube.store import Store


@dataclass(frozen=True)
class FieldLabel:
    """A field that a field selector may name.

    `path` is its place in the object where that is not its name; `absent` is what it reads as when the object does not
    have it.
    """

    name: str
    path: str = ""
    absent: str = ""


class Served(Protocol):
    """The resources that are served now."""

    def all(self) -> tuple[Resource, ...]:
        """Every resource in every served version."""
        ...


Network = IPv4Network | IPv6Network


@dataclass(frozen=True)
class Cluster:
    """What values are allocated from: the cluster that they have to be unique in."""

    store: Store
    resources: Served
    service_networks: tuple[Network, ...]
    """The addresses of Services, one range for each IP family; the first is the default."""


@dataclass(frozen=True)
class Address:
    """Where to connect to."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


READ = ("get", "list", "watch")
WRITE = ("create", "delete", "deletecollection", "patch", "update")


@dataclass(frozen=True)
class Grant:
    """What the role `view`, `edit` or `admin` allows: verbs on the objects (the part "") or on subresources."""

    role: str
    verbs: tuple[str, ...]
    parts: tuple[str, ...] = ("",)


def _nothing(obj: Object) -> None: ...


def _as_applied(config: Object, live: Object) -> Object:  # noqa: ARG001
    return config


def _keep_nothing(new: Object, old: Object) -> None: ...


def _no_cause(obj: Object) -> Iterator[Cause]:  # noqa: ARG001
    return iter(())


def _no_cause_of_update(new: Object, old: Object) -> Iterator[Cause]:  # noqa: ARG001
    return iter(())


def _no_remark(obj: Object) -> Iterator[str]:  # noqa: ARG001
    return iter(())


def _admit_all(store: Store, new: Object) -> None: ...


def _review_nothing(store: Store, new: Object, old: Object | None, options: WriteOptions) -> None: ...


def _allocate_nothing(cluster: Cluster, new: Object, old: Object | None) -> None: ...


def _no_grace(obj: Object, asked: int | None) -> int:  # noqa: ARG001
    return 0


def _no_backend(store: Store, namespace: str, name: str, port: str | int | None) -> Address:  # noqa: ARG001
    raise ApiError(501, "NotImplemented", "the lab's node serves nothing but stats/summary here")


def _is_free(obj: Object) -> bool:  # noqa: ARG001
    return False


@dataclass(frozen=True)
class Behaviour:
    """One kind. A field that it leaves out does what most kinds do. The fields stand in the order of their use."""

    resource: Resource
    standard: tuple[Object, ...] = ()
    """Objects that every cluster has: each start makes those that are missing."""

    fill_defaults: Callable[[Object], None] = _nothing
    """Set the fields that a client left out, as `SetDefaults_*` of Kubernetes does; what is set stays."""
    begin: Callable[[Object], None] = _nothing
    """Set what a new object begins with, which a client has no say in: its status above all."""
    fit: Callable[[Object, Object], Object] = _as_applied
    """What a server-side apply says, given the object that it goes into: before it is merged, and owned."""
    keep: Callable[[Object, Object], None] = _keep_nothing
    """Take over into a new state what an update may not change of the old one."""
    specs_of_parts: Mapping[str, Callable[[Object, Object], Object]] = field(default_factory=dict)
    """By subresource that writes a part of the spec: the new spec, given the one that was sent and the old one."""
    unowned_parts: frozenset[str] = frozenset()
    """Subresources whose writer owns nothing of what it writes."""
    admit: Callable[[Store, Object], None] = _admit_all
    """Complete a new object from others, or refuse it with 403. Done again after mutating webhooks."""

    name_problem: Callable[[str], str] = names.subdomain_problem
    fields: Rules = field(default_factory=dict)
    """Rules of single fields beyond the schema and `rules.fields.SHARED`."""
    check: Callable[[Object], Iterator[Cause]] = _no_cause
    """What is wrong with an object beyond its schema, its metadata and the rules of single fields."""
    check_update: Callable[[Object, Object], Iterator[Cause]] = _no_cause_of_update
    remark: Callable[[Object], Iterator[str]] = _no_remark
    """What deserves a warning although the object is taken: parts of it that have no effect here."""
    review: Callable[[Store, Object, Object | None, WriteOptions], None] = _review_nothing
    """Hold an object that is about to be stored to others in the store: raise `ApiError` 403, or warn."""

    allocate: Callable[[Cluster, Object, Object | None], None] = _allocate_nothing
    """Fill in values that must be unique in the cluster, or raise `ApiError` 422 where what is asked for is taken.

    The object is about to replace the second one (None: to be created): nothing is awaited before it is stored.
    """

    counts_generations: bool = False
    """Whether metadata.generation counts the changes of what the object asks for."""
    names_what_it_replaces: bool = False
    """Whether an update has to name the version that it replaces (the contrary of `AllowUnconditionalUpdate`)."""

    undeletable: frozenset[str] = frozenset()
    """Names of objects that the cluster cannot do without."""
    grace: Callable[[Object, int | None], int] = _no_grace
    """Seconds that a deleted object has left, given what the client asked for."""
    mark_deleted: Callable[[Object], None] = _nothing
    """Show in a deleted object that it waits for its end. Its metadata and status may be replaced, not changed."""
    is_held: Callable[[Object], bool] = _is_free
    """Whether anything but finalizers keeps a deleted object."""
    answers_with_last_state: bool = False
    """Whether a delete is answered with the object (`ReturnDeletedObject`), and not with a `Status`."""

    field_labels: tuple[FieldLabel, ...] = ()
    """The fields, beside name and namespace, that a selector may name (`AddFieldLabelConversionFunc`)."""
    backend: Callable[[Store, str, str, str | int | None], Address] = _no_backend
    """Where what is proxied to an object goes, given its namespace, its name and a port by number or name.

    Without a port, the only one or the first. Raises `ApiError` when there is no such object or port, or none is ready.
    """
    grants: tuple[Grant, ...] = ()
    """What the roles that every cluster has allow beyond `cluster-admin`."""
    printer: Printer = PLAIN
    """The columns of `kubectl get`."""
    zero_counts: frozenset[str] = frozenset()
    """Scalars that are pointers in Go, or required: in its protobuf form, zero is not the same as nothing."""
