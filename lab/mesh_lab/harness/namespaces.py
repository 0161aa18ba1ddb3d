"""Namespaces of tests: made with injection on or off, deleted afterwards."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from types import MappingProxyType

from mesh_lab.client.api import Api
from mesh_lab.client.objects import Items, Reference

MAX_NAME = 50
REVISION = "istio.io/rev"
ROOTS, ROOTS_SECONDS = "istio-ca-root-cert", 60


class Namespaces:
    """Makes namespaces, with these labels besides its own, and remembers them."""

    def __init__(
        self, api: Api, label: str, *, keep: bool = False, labels: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        self._api = api
        self._label = label
        self._keep = keep
        self._labels = labels
        self._made: list[str] = []
        self._run = secrets.token_hex(4)

    def create(self, purpose: str, injection: bool | None = True) -> str:
        """Create a namespace, named for its purpose; with `injection` None it has no label for sidecars.

        Where there may be sidecars, it returns when the control plane has put the mesh's roots of trust into it: a pod
        that is created before them waits for its volume, and the kubelet retries with a back-off. After an istiod was
        killed, its successor needs half a minute for that.

        Raises:
            TimeoutError: the control plane has not put them there in time.
        """
        name = f"{_dns_label(purpose)}-{secrets.token_hex(3)}"
        labels = {**self._labels, self._label: self._run, **self._of_injection(injection)}
        self._api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
        self._made.append(name)
        if injection is not False:
            self._api.wait_until(
                self._api.path("v1", "ConfigMap", name),
                lambda items: ROOTS in items,
                timeout=ROOTS_SECONDS,
                why=f"the control plane puts {ROOTS} into {name}",
                describe=lambda items: f"  there is {', '.join(sorted(items)) or 'no ConfigMap'}",
            )
        return name

    def _of_injection(self, injection: bool | None) -> Mapping[str, str]:
        """The labels for injection. A label for a revision has no effect beside `istio-injection`."""
        if injection is None or (injection and REVISION in self._labels):
            return {}
        return {"istio-injection": "enabled" if injection else "disabled"}

    def remove(self, name: str) -> None:
        """Begin to delete a namespace."""
        if not self._keep:
            self._api.delete(Reference("v1", "Namespace", name))

    def remove_all(self, timeout: float) -> None:
        """Delete all that were made and wait until they are gone.

        Raises:
            TimeoutError: naming those that are left.
        """
        if self._keep or not self._made:
            return
        ours = set(self._made)
        for name in ours:
            self.remove(name)

        def gone(items: Items) -> bool:
            return not ours & set(items)

        def describe(items: Items) -> str:
            return "\n".join(f"  {name}: {items[name].get('status')}" for name in sorted(ours & set(items)))

        path = self._api.path("v1", "Namespace")
        self._api.wait_until(path, gone, timeout=timeout, why="the tests' namespaces are deleted", describe=describe)


def _dns_label(text: str) -> str:
    """The text as a DNS label (RFC 1123), cut to what leaves room for a suffix."""
    label = re.sub(r"[^a-z0-9]+", "-", text.lower().removeprefix("test_")).strip("-")
    return label[:MAX_NAME].strip("-") or "test"
