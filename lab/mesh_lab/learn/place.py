"""Where a lesson takes place: a namespace of one learner's, its start, and what must be there for a check."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from mesh_lab.client.api import Api, UnknownKindError
from mesh_lab.client.connection import ApiError
from mesh_lab.client.objects import Items, Object, Reference
from mesh_lab.errors import ConfigurationRejected, LabError, WaitTimeoutError
from mesh_lab.harness.mesh import Mesh
from mesh_lab.harness.namespaces import ROOTS, ROOTS_SECONDS
from mesh_lab.harness.workloads import IMAGE, Images
from mesh_lab.learn import checking
from mesh_lab.learn.checking import Checks, Verdict
from mesh_lab.learn.lesson import CHECKS, Lesson
from mesh_lab.learn.restoring import merge, restore
from mesh_lab.learn.start import manifests, start, workloads
from mesh_lab.learn.variants import Given
from mesh_lab.meshkinds import KINDS
from mesh_lab.settings import Lab

LABEL, VALUE = "mesh-lab/learn", "lesson"
SETTLED_SECONDS = 10.0
"""How long a check waits for pods and proxies to have taken up what the learner wrote."""
_ISTIO, _INJECTION = "istio-system", "istio-injection"


class Place:
    """A lesson in a namespace. `lesson` has its values filled in, and `given` has them."""

    def __init__(self, api: Api, lesson: Lesson, given: Given, images: Images, token: str) -> None:
        self.lesson = lesson
        self.given = given
        self.namespace = str(given["namespace"])
        self.mesh = Mesh(api, self.namespace, images)
        self._api = api
        self._images = images
        self._token = token

    @property
    def checks(self) -> Checks:
        """The lesson's checks.

        Raises:
            BrokenLesson: they cannot be loaded.
        """
        return checking.load(self.lesson.folder / CHECKS, len(self.lesson.tasks))

    # The start

    def set_up(self) -> None:
        """Bring the lesson's start (back): the namespace holds its objects and nothing else, and all is in force.

        Raises:
            BrokenLesson: a manifest or `prepare` is wrong.
            LabError: the cluster refuses it, or is not ready in time.
        """
        checks, wanted = self.checks, start(self.lesson, self.given, self._images, self._token)
        self._make_namespace()
        try:
            gone = restore(self._api, self.namespace, wanted)
        except ApiError as error:
            raise LabError(f"the start of {self.lesson.name} is refused: {error}") from error
        self.mesh.ready()
        for ref in gone:
            if _of_the_mesh(ref):
                self.mesh.wait_gone(ref)
        self._await_live(list(self._configuration()))
        for name, server in self.lesson.about.servers.items():
            self.mesh.wait_endpoints(name, server.replicas * len(server.versions))
        if checks.prepare:
            verdict = checking.run(checks, checks.prepare, self.mesh, self.given)
            if not verdict.passed:
                raise LabError(f"the start of {self.lesson.name} is not as it should be: {verdict.words}")

    def _make_namespace(self) -> None:
        ref = Reference("v1", "Namespace", self.namespace)
        injection = self.lesson.about.injection
        labels = {LABEL: VALUE, _INJECTION: None if injection == "unset" else injection}
        found = self._api.find(ref)
        if found is not None and "deletionTimestamp" in found["metadata"]:
            self._api.wait_until(
                self._api.path("v1", "Namespace"),
                lambda items: self.namespace not in items,
                timeout=ROOTS_SECONDS,
                why=f"the namespace {self.namespace} is deleted",
                describe=lambda items: f"  {items[self.namespace].get('status')}",
            )
            found = None
        if found is not None and found["metadata"].get("labels", {}).get(LABEL) != VALUE:
            raise LabError(
                f"the namespace {self.namespace} is not of a lesson: it lacks the label {LABEL}={VALUE}",
                hint="A lesson's start deletes all else that its namespace holds. "
                f"If you want that: `kubectl label namespace {self.namespace} {LABEL}={VALUE}`.",
            )
        merge(self._api, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": ref.name, "labels": labels}})
        self._api.wait_until(
            self._api.path("v1", "ConfigMap", self.namespace),
            lambda items: ROOTS in items,
            timeout=ROOTS_SECONDS,
            why=f"the control plane puts {ROOTS} into {self.namespace}",
            describe=_present,
        )

    def exists(self) -> bool:
        """Whether the lesson's namespace is there."""
        found = self._api.find(Reference("v1", "Namespace", self.namespace))
        return found is not None and "deletionTimestamp" not in found["metadata"]

    def remove(self) -> None:
        """Begin to delete the namespace."""
        self._api.delete(Reference("v1", "Namespace", self.namespace))

    # What a learner does

    def solution(self, folder: str | Path) -> list[Object]:
        """The objects of a folder or file of the lesson."""
        return manifests(self.lesson, str(folder), self.given)

    def apply(self, objects: Sequence[Object]) -> None:
        """Merge objects into what the namespace has, as `kubectl apply` and `kubectl patch` do.

        Raises:
            ApiError: the API server refuses one.
        """
        for obj in objects:
            merge(self._api, {**obj, "metadata": {**obj["metadata"], "namespace": self.namespace}})

    def check(self, number: int) -> Verdict:
        """What the check of a task says, once pods and proxies have taken up what there is.

        Raises:
            BrokenLesson: the check raises what no learner has brought about.
            LabError: something that it needs is missing; the message says what, and how to go on.
        """
        checks = self.checks
        self._require()
        return self._unsettled() or checking.run(checks, checks.tasks[number - 1], self.mesh, self.given)

    def _unsettled(self) -> Verdict | None:
        """Why what the learner wrote is not in force, or None when it is."""
        try:
            self.mesh.ready(SETTLED_SECONDS)
        except WaitTimeoutError as error:
            look = f"kubectl -n {self.namespace} get pods; kubectl -n {self.namespace} get events"
            return Verdict(False, str(error), "every Deployment is rolled out", look)
        for ref in self._configuration():
            try:
                self.mesh.wait_live(ref, SETTLED_SECONDS)
            except (ConfigurationRejected, WaitTimeoutError) as error:
                look = f"mesh-lab wait -n {self.namespace} {ref.kind.lower()}/{ref.name}"
                return Verdict(False, str(error), f"every proxy acknowledges {ref.kind} {ref.name}", look)
        return None

    def _require(self) -> None:
        """Refuse to check where what every lesson needs is missing."""
        back = "`mesh-lab learn reset` brings the lesson's start back; your progress stays."
        if not self.exists():
            raise LabError(f"the lesson's namespace {self.namespace} is deleted", hint=back)
        deployments = {obj["metadata"]["name"] for obj in self._api.list_all("apps/v1", "Deployment", self.namespace)}
        wanted = [obj for obj in workloads(self.lesson, self._images, self._token) if obj["kind"] == "Deployment"]
        if missing := [obj["metadata"]["name"] for obj in wanted if obj["metadata"]["name"] not in deployments]:
            raise LabError(f"{self.namespace} lacks its Deployments {', '.join(missing)}", hint=back)
        self._require_istiod()

    def _require_istiod(self) -> None:
        found = self._api.list_all("apps/v1", "Deployment", _ISTIO, "app=istiod")
        if not any(obj.get("status", {}).get("readyReplicas") for obj in found):
            raise LabError(
                "istiod is not there: " + ("it has no ready pod" if found else f"{_ISTIO} has no Deployment of it"),
                hint="Proxies keep their last configuration, and get no other. `mesh-lab up` puts it back and waits.",
            )

    # The mesh's configuration

    def _configuration(self) -> Iterator[Reference]:
        """The namespace's resources that proxies acknowledge."""
        for kind in KINDS:
            if not kind.acted_on or not kind.group or kind.name == "ProxyConfig":
                continue
            with contextlib.suppress(UnknownKindError):
                version = self._api.served(kind.group, kind.name, kind.versions)
                for obj in self._api.list_all(version, kind.name, self.namespace):
                    yield Reference(version, kind.name, obj["metadata"]["name"], self.namespace)

    def _await_live(self, refs: Sequence[Reference]) -> None:
        end = time.monotonic() + ROOTS_SECONDS
        for ref in refs:
            self.mesh.wait_live(ref, max(end - time.monotonic(), 0.0))


def _of_the_mesh(ref: Reference) -> bool:
    return any(kind.group and (kind.group, kind.name) == (ref.group, ref.kind) for kind in KINDS if kind.acted_on)


def _present(items: Items) -> str:
    return f"  there is {', '.join(sorted(items)) or 'no ConfigMap'}"


def images_of(lab: Lab) -> Images:
    """The images of the servers and clients, where the lab's cluster has them."""
    prefix = lab.settings.existing.image_prefix if lab.settings.cluster == "existing" else ""
    return Images(f"{prefix}{IMAGE}", f"{prefix}{IMAGE}")
