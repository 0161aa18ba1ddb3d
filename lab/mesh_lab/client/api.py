"""A Kubernetes API: any kind by discovery, waits by watching, commands by kubectl.

The API is asked directly, since a process of kubectl costs a tenth of a second, and the command line and the tests ask
often.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

from mesh_lab.client import kubeconfig as kubeconfigs
from mesh_lab.client.connection import NONE, ApiError, ClusterUnreachable, Connections, Exchange, json_of
from mesh_lab.client.kubectl import Kubectl
from mesh_lab.client.objects import Items, Object, Reference, reference
from mesh_lab.errors import LabError, WaitTimeoutError

_REQUEST_SECONDS = 30.0
_NOT_FOUND, _GONE = 404, 410
_Kept = TypeVar("_Kept")


class UnknownKindError(LabError, LookupError):
    """The cluster has no such kind."""


class Api:
    """One cluster, as the user of its kubeconfig's current context. Every method raises `ApiError` or `LabError`."""

    def __init__(self, kubeconfig: Path, scratch: Path | None = None) -> None:
        """Connect as the kubeconfig's user. `scratch` is for kubectl's cache; without one, it is beside the kubeconfig.

        Raises:
            LabError: the kubeconfig cannot be used, or its user cannot log in.
        """
        self.kubeconfig = kubeconfig
        self._connections = Connections(kubeconfigs.read(kubeconfig))
        self._kubectl = Kubectl(kubeconfig, (scratch or kubeconfig.parent) / "kubectl-cache")
        self._plurals: dict[str, dict[str, tuple[str, bool]]] = {}
        self._opened = contextlib.ExitStack()
        self.memory: dict[str, Any] = {}

    def __enter__(self) -> Api:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections, and what was kept open with them."""
        self._opened.close()
        self._connections.close()

    def keep(self, manager: contextlib.AbstractContextManager[_Kept]) -> _Kept:
        """Enter a context that lasts until `close`."""
        return self._opened.enter_context(manager)

    # Requests

    def request(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        timeout: float = _REQUEST_SECONDS,
        headers: Mapping[str, str] | None = None,
        **params: Any,
    ) -> Any:
        """One request for JSON; gives the text where the answer is something else.

        Raises:
            ApiError: the server's answer is an error.
            ClusterUnreachable: no answer.
        """
        with self._send(method, path, body=body, timeout=timeout, headers=headers, **params) as answer:
            return json_of(answer)

    def begin(
        self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] = NONE, *, timeout: float
    ) -> Exchange:
        """A request whose answer, whatever its status, is read as it comes; `timeout` is for each piece of it.

        Raises:
            ClusterUnreachable: no answer.
        """
        return self._connections.begin(method, path, body=body, headers=headers, timeout=timeout)

    def _send(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        timeout: float,
        headers: Mapping[str, str] | None = None,
        **params: Any,
    ) -> Exchange:
        content = "application/merge-patch+json" if method == "PATCH" else "application/json"
        sent = {"Accept": "application/json", "Content-Type": content, **(headers or {})}
        text = None if body is None else json.dumps(body)
        answer = self._connections.begin(method, _with(path, params), body=text, headers=sent, timeout=timeout)
        try:
            answer.raise_for_status()
        except BaseException:
            answer.close()
            raise
        return answer

    def path(self, api_version: str, kind: str, namespace: str = "", name: str = "") -> str:
        """Where the API serves a kind. Names may be any text that a user has typed.

        Raises:
            UnknownKindError: the cluster has no such kind (a `LookupError`).
        """
        base = f"/api/{api_version}" if "/" not in api_version else f"/apis/{api_version}"
        if kind not in self._plurals.get(api_version, {}):
            listed = self.request("GET", base)["resources"]
            self._plurals[api_version] = {
                entry["kind"]: (entry["name"], entry["namespaced"]) for entry in listed if "/" not in entry["name"]
            }
        if kind not in self._plurals[api_version]:
            raise UnknownKindError(
                f"the cluster has no {kind} of {api_version}: has its CustomResourceDefinition been applied?"
            )
        plural, namespaced = self._plurals[api_version][kind]
        place = f"/namespaces/{quote(namespace, safe='')}" if namespaced and namespace else ""
        return f"{base}{place}/{plural}" + (f"/{quote(name, safe='')}" if name else "")

    def served(self, group: str, kind: str, versions: Sequence[str]) -> str:
        """The `apiVersion` of the first of these versions in which the cluster has a kind: its definition may be older.

        Raises:
            UnknownKindError: it has the kind in none of them.
        """
        for version in versions:
            api_version = f"{group}/{version}" if group else version
            try:
                self.path(api_version, kind)
            except UnknownKindError:
                continue
            except ApiError as error:
                if error.code != _NOT_FOUND:
                    raise
                continue
            return api_version
        raise UnknownKindError(
            f"the cluster has no {kind} of {group or 'v1'} ({', '.join(versions)}): "
            "has its CustomResourceDefinition been applied?"
        )

    def _path(self, ref: Reference) -> str:
        return self.path(ref.api_version, ref.kind, ref.namespace, ref.name)

    # Objects

    def get(self, ref: Reference) -> Object:
        """The object.

        Raises:
            ApiError: it does not exist (404), ...
        """
        found: Object = self.request("GET", self._path(ref))
        return found

    def find(self, ref: Reference) -> Object | None:
        """The object, or None."""
        try:
            return self.get(ref)
        except ApiError as error:
            if error.code == _NOT_FOUND:
                return None
            raise

    def list_all(self, api_version: str, kind: str, namespace: str = "", labels: str = "") -> list[Object]:
        """The objects of a kind, in a namespace or in all."""
        params: dict[str, Any] = {"labelSelector": labels} if labels else {}
        found = self.request("GET", self.path(api_version, kind, namespace), **params)["items"]
        return [{"apiVersion": api_version, "kind": kind, **obj} for obj in found]

    def create(self, obj: Object) -> Object:
        """Create the object; a field that the schema does not know is an error.

        Raises:
            ApiError: it exists, is invalid, ...
        """
        ref = reference(obj)
        path = self.path(ref.api_version, ref.kind, ref.namespace)
        created: Object = self.request("POST", path, body=obj, fieldValidation="Strict")
        return created

    def apply(self, obj: Object) -> Object:
        """Create the object, or merge it into the one that exists (a merge patch: lists are replaced).

        Raises:
            ApiError: it is invalid, ...
        """
        try:
            return self.create(obj)
        except ApiError as error:
            if error.reason != "AlreadyExists":
                raise
        return self.patch(reference(obj), obj)

    def patch(self, ref: Reference, change: Object) -> Object:
        """Merge a change into the object (RFC 7386: None removes a field).

        Raises:
            ApiError: it does not exist, the result is invalid, ...
        """
        patched: Object = self.request("PATCH", self._path(ref), body=change, fieldValidation="Strict")
        return patched

    def delete(self, ref: Reference, grace: int | None = None) -> None:
        """Delete the object if it exists; does not wait until it is gone."""
        body: Object = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"}
        if grace is not None:
            body["gracePeriodSeconds"] = grace
        try:
            self.request("DELETE", self._path(ref), body=body)
        except ApiError as error:
            if error.code != _NOT_FOUND:
                raise

    # Waiting

    def watch(self, path: str, resource_version: str, *, silence: float) -> Iterator[tuple[str, Object]]:
        """Changes of a collection after `resource_version`, as (type, object).

        Ends when the server ends it or after `silence` seconds without a change.

        Raises:
            ApiError: the server refuses, or ends it with an error (410: that version is too old).
            ClusterUnreachable: it broke off.
        """
        params: dict[str, Any] = {"watch": "true", "resourceVersion": resource_version}
        with self._send("GET", path, timeout=silence, **params) as answer:
            for line in answer.lines():
                event = json.loads(line)
                if event["type"] == "ERROR":
                    status = event["object"]
                    raise ApiError(int(status.get("code", 0)), status.get("message", "watch failed"), request=path)
                yield event["type"], event["object"]

    def wait_until(
        self,
        path: str,
        condition: Callable[[Items], bool],
        *,
        timeout: float,
        why: str,
        describe: Callable[[Items], str],
    ) -> Items:
        """Follow a collection until a condition on its objects (by name) holds: list, then watch from there.

        Raises:
            WaitTimeoutError: it did not hold in time (a `TimeoutError`); the message says why it was waited for and
                what was the case at last.
        """
        end = time.monotonic() + timeout
        while True:
            listed = self.request("GET", path)
            items: Items = {obj["metadata"]["name"]: obj for obj in listed["items"]}
            if condition(items):
                return items
            left = end - time.monotonic()
            if left <= 0:
                raise WaitTimeoutError(f"not within {timeout:g} s: {why}\n{describe(items)}")
            try:
                for what, obj in self.watch(path, listed["metadata"]["resourceVersion"], silence=left):
                    _change(items, what, obj)
                    if condition(items):
                        return items
                    if time.monotonic() > end:
                        break
            except ApiError as error:
                if error.code != _GONE:
                    raise

    def follow_log(self, namespace: str, pod: str, container: str, seconds: float) -> Iterator[str]:
        """The lines of a log as they are written, until the container ends or for `seconds` without a line."""
        path = self.path("v1", "Pod", namespace, pod) + "/log"
        with self._send("GET", path, timeout=seconds, follow="true", container=container) as answer:
            try:
                yield from answer.lines()
            except ClusterUnreachable:
                return

    # Commands

    def kubectl(self, *arguments: str, stdin: str | None = None, timeout: float | None = None) -> str:
        """What `kubectl ARGUMENTS` prints.

        Raises:
            CommandFailed: its exit code is not 0.
        """
        return self._kubectl.run(*arguments, stdin=stdin or "", timeout=timeout)

    def try_kubectl(
        self, *arguments: str, stdin: str | None = None, timeout: float | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run kubectl and return how it ended, whatever its exit code."""
        return self._kubectl.attempt(*arguments, stdin=stdin or "", timeout=timeout)

    def kubectl_command(self, *arguments: str) -> list[str]:
        """The whole command line of a kubectl for this cluster; its cache is kept apart from the user's."""
        return [*self._kubectl.command(), *arguments]


def _with(path: str, params: Mapping[str, Any]) -> str:
    """A path with further parameters of its query."""
    given = {name: value for name, value in params.items() if value is not None}
    return f"{path}{'&' if '?' in path else '?'}{urlencode(given, doseq=True)}" if given else path


def _change(items: Items, what: str, obj: Object) -> None:
    """Apply an event of their watch to the objects."""
    name = obj["metadata"].get("name")
    if what == "DELETED":
        items.pop(name, None)
    elif what != "BOOKMARK":
        items[name] = obj
