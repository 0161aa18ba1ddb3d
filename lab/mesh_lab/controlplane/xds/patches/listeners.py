"""Patches of listeners and of all that is within them.

Source: pilot/pkg/networking/core/envoyfilter/listener_patch.go of Istio 1.30. A listener filter is merged into those of
the name that the patch matches; there it is merged into every one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2 import (
    HttpConnectionManager,
)

from mesh_lab.controlplane.model.envoyfilter import ApplyTo
from mesh_lab.controlplane.xds.built import any_of
from mesh_lab.controlplane.xds.patches import lists, matches
from mesh_lab.controlplane.xds.patches.merging import MergeError, merge, merge_any, merge_extension
from mesh_lab.controlplane.xds.patches.patch import Patch, Patches, Record

CONNECTION_MANAGER = "envoy.filters.network.http_connection_manager"


class Change(NamedTuple):
    """The patches that are for one listener, or for one of its chains."""

    patches: Patches
    record: Record

    def of(self, apply_to: ApplyTo) -> Patches:
        """Those for one kind of subject."""
        return tuple(patch for patch in self.patches if patch.apply_to == apply_to)

    def where(self, suits: Callable[[Patch], bool]) -> Change:
        """Fewer of them."""
        return Change(tuple(patch for patch in self.patches if suits(patch)), self.record)


def change(listener: Any, patches: Patches, record: Record) -> bool:
    """Apply patches, which are for the listener's side, to it and all within it; False when one removes it."""
    work = Change(patches, record)
    for patch in work.of("LISTENER"):
        # A merge may change what the next one matches.
        if not matches.listener(patch, listener):
            continue
        if patch.operation == "REMOVE":
            record.took(patch)
            return False
        if patch.merges:
            _merge(listener, patch, record)
    work = work.where(lambda patch: matches.listener(patch, listener))
    _change_listener_filters(listener, work)
    _change_chains(listener, work)
    return True


def _merge(message: Any, patch: Patch, record: Record) -> None:
    merge(message, patch.value, replace_lists=patch.operation == "MERGE_AND_REPLACE_LIST")
    record.took(patch)


def _change_listener_filters(listener: Any, work: Change) -> None:
    for patch in work.of("LISTENER_FILTER"):
        name = matches.named_listener_filter(patch)
        if patch.operation == "MERGE":
            _merge_into((each for each in listener.listener_filters if name and each.name == name), patch, work.record)
            continue

        def is_named(each: Any, name: str = name) -> bool:
            return not name or each.name == name

        if lists.change(listener.listener_filters, patch, is_named, named=bool(name)):
            work.record.took(patch)


def _merge_into(filters: Iterable[Any], patch: Patch, record: Record) -> None:
    for each in filters:
        try:
            if merge_extension(each, patch.value):
                record.took(patch)
        except MergeError as error:
            record.fail(patch, str(error))


def _change_chains(listener: Any, work: Change) -> None:
    removed = False
    kept = []
    for chain in listener.filter_chains:
        if not chain.filters or _change_chain(listener, chain, work):
            kept.append(chain)
        else:
            removed = True
    rest = listener.default_filter_chain
    if rest.filters and not _change_chain(listener, rest, work):
        listener.ClearField("default_filter_chain")
    if removed:
        lists.keep(listener.filter_chains, kept)
    for patch in work.of("FILTER_CHAIN"):
        if patch.operation == "ADD":
            listener.filter_chains.append(patch.value)
            work.record.took(patch)


def _change_chain(listener: Any, chain: Any, work: Change) -> bool:
    """False when a patch removes the chain."""
    for patch in work.of("FILTER_CHAIN"):
        if not matches.chain(patch, listener, chain):
            continue
        if patch.operation == "REMOVE":
            work.record.took(patch)
            return False
        if patch.merges:
            try:
                if not _merge_socket(chain, patch):
                    _merge(chain, patch, work.record)
                work.record.took(patch)
            except MergeError as error:
                work.record.fail(patch, str(error))
    inner = work.where(lambda patch: matches.chain(patch, listener, chain))
    _change_network_filters(chain, inner)
    return bool(chain.filters)


def _merge_socket(chain: Any, patch: Patch) -> bool:
    """Merge the configuration of a transport socket of the same name, which is all that such a patch does then."""
    if not patch.value.HasField("transport_socket") or not chain.HasField("transport_socket"):
        return False
    given, present = patch.value.transport_socket, chain.transport_socket
    if given.name != present.name:
        return False
    if given.HasField("typed_config") and present.HasField("typed_config"):
        present.typed_config.CopyFrom(merge_any(present.typed_config, given.typed_config))
    return True


def _change_network_filters(chain: Any, work: Change) -> None:
    patches = work.of("NETWORK_FILTER")
    for patch in patches:

        def is_named(each: Any, patch: Patch = patch) -> bool:
            return matches.network_filter(patch, each.name)

        if lists.change(chain.filters, patch, is_named, named=matches.named_filter(patch) is not None):
            work.record.took(patch)
    http = work.of("HTTP_FILTER")
    for each in chain.filters:
        for patch in patches:
            if patch.operation == "MERGE" and matches.network_filter(patch, each.name):
                _merge_into((each,), patch, work.record)
        if http and each.name == CONNECTION_MANAGER:
            _change_http_filters(each, work)


def _change_http_filters(holder: Any, work: Change) -> None:
    patches = [patch for patch in work.of("HTTP_FILTER") if matches.network_filter(patch, holder.name)]
    manager = HttpConnectionManager()
    if not patches or not holder.typed_config.Unpack(manager):
        return
    for patch in patches:

        def is_named(each: Any, patch: Patch = patch) -> bool:
            return matches.http_filter(patch, each.name)

        if lists.change(manager.http_filters, patch, is_named, named=matches.named_http_filter(patch) is not None):
            work.record.took(patch)
    for each in manager.http_filters:
        for patch in patches:
            if patch.operation == "MERGE" and matches.http_filter(patch, each.name):
                _merge_into((each,), patch, work.record)
    holder.typed_config.CopyFrom(any_of(manager))
