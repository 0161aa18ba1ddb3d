"""The Kubernetes API as tests use it: any kind by discovery, waits by watching, commands by kubectl exec.

The API is asked directly, since a process of kubectl costs a tenth of a second and a suite asks thousands of times.
Tests of kubectl itself call `kubectl`.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import requests
import yaml

from mesh_lab.harness.exchange import Dialler
from mesh_lab.harness.kubeconfig import ClusterUnreachable, open_session

Object = dict[str, Any]
Items = dict[str, Object]
Kept = TypeVar("Kept")

REQUEST_SECONDS = 30.0
KUBECTL_SECONDS = 60.0
UNAUTHORIZED = 401


class ApiError(Exception):
    """The API server refused; `code` and `reason` are those of its Status."""

    def __init__(self, status: Mapping[str, Any], request: str) -> None:
        self.code = int(status.get("code", 0))
        self.reason = str(status.get("reason", ""))
        self.message = str(status.get("message", ""))
        super().__init__(f"{request}: {self.code} {self.reason}: {self.message}")


class CommandFailed(Exception):  # noqa: N818 - what happened to a command that was run
    """A command ended with an exit code other than 0."""

    def __init__(self, command: Sequence[str], done: subprocess.CompletedProcess[str]) -> None:
        self.code, self.stdout, self.stderr = done.returncode, done.stdout, done.stderr
        shown = " ".join(command)
        super().__init__(f"{shown}\nended with {done.returncode}:\n{done.stderr.strip() or done.stdout.strip()}")


@dataclass(frozen=True, slots=True)
class Reference:
    """An object by its kind and name."""

    api_version: str
    kind: str
    name: str
    namespace: str = ""

    def __str__(self) -> str:
        place = f"{self.namespace}/" if self.namespace else ""
        return f"{self.kind} {place}{self.name}"


def reference(obj: Mapping[str, Any]) -> Reference:
    """Which object this is."""
    meta = obj["metadata"]
    return Reference(obj["apiVersion"], obj["kind"], meta["name"], meta.get("namespace", ""))


def objects_in(manifest: Path | str | Object | Sequence[Object]) -> list[Object]:
    """The objects of a manifest: a file, a directory of them, YAML text, one object or several.

    Raises:
        OSError: the file cannot be read.
        yaml.YAMLError: it is not YAML.
    """
    if isinstance(manifest, Mapping):
        return [dict(manifest)]
    if isinstance(manifest, Path):
        files = sorted(manifest.glob("*.yaml")) if manifest.is_dir() else [manifest]
        return [obj for file in files for obj in objects_in(file.read_text(encoding="utf-8"))]
    if isinstance(manifest, str):
        return [obj for obj in yaml.safe_load_all(manifest) if obj]
    return [dict(obj) for obj in manifest]


class Api:
    """One cluster, as the kubeconfig's user."""

    def __init__(self, kubeconfig: Path, scratch: Path) -> None:
        self.kubeconfig = kubeconfig
        self._scratch = scratch
        self._session, self._server, self._user = open_session(kubeconfig, scratch)
        self.dialler = Dialler(self._server, self._user)
        self._plurals: dict[str, dict[str, tuple[str, bool]]] = {}
        self._kept = contextlib.ExitStack()
        self.memory: dict[str, Any] = {}

    def close(self) -> None:
        """Close the connections, and what was kept open with them."""
        self._kept.close()
        self._session.close()

    def keep(self, manager: contextlib.AbstractContextManager[Kept]) -> Kept:
        """Enter a context that lasts until `close`."""
        return self._kept.enter_context(manager)

    # Requests

    def request(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        timeout: float = REQUEST_SECONDS,
        headers: Mapping[str, str] | None = None,
        **params: Any,
    ) -> Any:
        """One request for JSON.

        Raises:
            ApiError: the server's answer is an error.
            ClusterUnreachable: no answer.
        """
        with self._send(method, path, body=body, timeout=timeout, more=headers, **params) as answer:
            kind = answer.headers.get("content-type", "")
            return answer.json() if kind.startswith("application/json") else answer.text

    def _send(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        timeout: float,
        stream: bool = False,
        more: Mapping[str, str] | None = None,
        **params: Any,
    ) -> requests.Response:
        content = "application/merge-patch+json" if method == "PATCH" else "application/json"

        def send() -> requests.Response:
            return self._session.request(
                method,
                self._server + path,
                params=params,
                data=None if body is None else json.dumps(body),
                headers={"Content-Type": content, "Accept": "application/json", **(more or {})},
                timeout=timeout,
                stream=stream,
            )

        try:
            answer = send()
            if answer.status_code == UNAUTHORIZED and self._user.refused():
                answer.close()
                answer = send()
        except requests.RequestException as error:
            raise ClusterUnreachable(f"{method} {self._server}{path}: {error}") from error
        if answer.status_code >= 400:
            raise ApiError(_status(answer), f"{method} {path}")
        return answer

    def path(self, api_version: str, kind: str, namespace: str = "", name: str = "") -> str:
        """Where the API serves a kind.

        Raises:
            LookupError: the cluster has no such kind.
        """
        base = f"/api/{api_version}" if "/" not in api_version else f"/apis/{api_version}"
        if kind not in self._plurals.get(api_version, {}):
            listed = self.request("GET", base)["resources"]
            self._plurals[api_version] = {
                entry["kind"]: (entry["name"], entry["namespaced"]) for entry in listed if "/" not in entry["name"]
            }
        if kind not in self._plurals[api_version]:
            raise LookupError(
                f"the cluster has no {kind} of {api_version}: has its CustomResourceDefinition been applied?"
            )
        plural, namespaced = self._plurals[api_version][kind]
        place = f"/namespaces/{namespace}" if namespaced and namespace else ""
        return f"{base}{place}/{plural}" + (f"/{name}" if name else "")

    # Objects

    def get(self, ref: Reference) -> Object:
        """The object.

        Raises:
            ApiError: it does not exist (404), ...
        """
        found: Object = self.request("GET", self.path(ref.api_version, ref.kind, ref.namespace, ref.name))
        return found

    def find(self, ref: Reference) -> Object | None:
        """The object, or None."""
        try:
            return self.get(ref)
        except ApiError as error:
            if error.code == 404:
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
        """Create the object, or change what it says in the one that exists (a merge patch: lists are replaced).

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
        path = self.path(ref.api_version, ref.kind, ref.namespace, ref.name)
        patched: Object = self.request("PATCH", path, body=change, fieldValidation="Strict")
        return patched

    def delete(self, ref: Reference, grace: int | None = None) -> None:
        """Delete the object if it exists; does not wait until it is gone."""
        body: Object = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"}
        if grace is not None:
            body["gracePeriodSeconds"] = grace
        try:
            self.request("DELETE", self.path(ref.api_version, ref.kind, ref.namespace, ref.name), body=body)
        except ApiError as error:
            if error.code != 404:
                raise

    # Waiting

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
            TimeoutError: it did not hold in time; the message says why it was waited for and what was the case at last.
        """
        end = time.monotonic() + timeout
        while True:
            listed = self.request("GET", path)
            items: Items = {obj["metadata"]["name"]: obj for obj in listed["items"]}
            if condition(items):
                return items
            left = end - time.monotonic()
            if left <= 0:
                raise TimeoutError(f"not within {timeout:g} s: {why}\n{describe(items)}")
            for event in self._watch(path, listed["metadata"]["resourceVersion"], left):
                if event["type"] == "ERROR":
                    break  # the watch is too old: list again
                name = event["object"]["metadata"].get("name")
                if event["type"] == "DELETED":
                    items.pop(name, None)
                elif event["type"] != "BOOKMARK":
                    items[name] = event["object"]
                if condition(items):
                    return items

    def _watch(self, path: str, since: str, seconds: float) -> Iterator[Object]:
        limit = max(int(seconds), 1)
        params: dict[str, Any] = {"watch": "true", "resourceVersion": since, "timeoutSeconds": str(limit)}
        with self._send("GET", path, timeout=limit + 5, stream=True, **params) as answer:
            for line in answer.iter_lines(chunk_size=1):
                if line:
                    yield json.loads(line)

    def follow_log(self, namespace: str, pod: str, container: str, seconds: float) -> Iterator[str]:
        """The lines of a log as they are written, until the container ends or for `seconds` without a line."""
        path = self.path("v1", "Pod", namespace, pod) + "/log"
        params: dict[str, Any] = {"follow": "true", "container": container}
        with self._send("GET", path, timeout=seconds, stream=True, **params) as answer:
            try:
                for line in answer.iter_lines(chunk_size=1):
                    yield line.decode("utf-8", "replace")
            except requests.RequestException:
                return

    # Commands

    def kubectl(self, *arguments: str, stdin: str | None = None, timeout: float = KUBECTL_SECONDS) -> str:
        """What `kubectl ARGUMENTS` prints.

        Raises:
            CommandFailed: its exit code is not 0.
        """
        done = self.try_kubectl(*arguments, stdin=stdin, timeout=timeout)
        if done.returncode:
            raise CommandFailed(["kubectl", *arguments], done)
        return done.stdout

    def try_kubectl(
        self, *arguments: str, stdin: str | None = None, timeout: float = KUBECTL_SECONDS
    ) -> subprocess.CompletedProcess[str]:
        """Run kubectl and tell how it ended, whatever its exit code."""
        return subprocess.run(
            self.kubectl_command(*arguments),
            input=stdin if stdin is not None else "",
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def kubectl_command(self, *arguments: str) -> list[str]:
        """The whole command line of a kubectl for this cluster; its cache is kept apart from the user's."""
        cache = str(self._scratch / "kubectl-cache")
        return [kubectl_program(), "--kubeconfig", str(self.kubeconfig), "--cache-dir", cache, *arguments]


def kubectl_program() -> str:
    """kubectl of this environment, or else the one on PATH.

    Raises:
        ClusterUnreachable: there is none.
    """
    beside = Path(sys.executable).parent / "kubectl"
    found = str(beside) if os.access(beside, os.X_OK) else shutil.which("kubectl")
    if not found:
        raise ClusterUnreachable("there is no kubectl: `make install` puts one into .venv")
    return found


def _status(answer: requests.Response) -> Mapping[str, Any]:
    try:
        status = answer.json()
    except ValueError:
        status = None
    if isinstance(status, dict) and "message" in status:
        return status
    return {"code": answer.status_code, "reason": answer.reason, "message": answer.text[:500]}
