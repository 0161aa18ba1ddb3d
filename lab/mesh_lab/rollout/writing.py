"""The route of a rollout on its cluster: weights and record are written together, and are in force when it returns."""

from __future__ import annotations

import time

from mesh_lab.client.api import Api
from mesh_lab.client.connection import ApiError
from mesh_lab.client.controlplane import status_of
from mesh_lab.client.objects import Object, Reference
from mesh_lab.client.rollout import await_live
from mesh_lab.errors import LabError
from mesh_lab.load.claim import Claim
from mesh_lab.meshkinds import named
from mesh_lab.rollout import record, routes
from mesh_lab.rollout.endpoints import check_endpoints
from mesh_lab.rollout.settings import BadRollout, Rollout

LIVE_SECONDS, WRITES = 20.0, 5


class RouteTaken(LabError):  # noqa: N818 - what somebody else has done
    """Somebody else has changed the route during the rollout; it stays as it is."""


class Route:
    """The route of a rollout, as it was last read or written.

    Raises:
        BadRollout: there is no such kind of route.
        LabError: there is no such route.
    """

    def __init__(self, api: Api, rollout: Rollout) -> None:
        word, name = rollout.kind_and_name
        kind = named(word)
        if kind is None or kind.name not in routes.FORMS:
            known = ", ".join(each.lower() for each in routes.FORMS)
            raise BadRollout(f"route: {word!r} is no kind of route with weights; there are {known}")
        self._api = api
        self._stable, self._canary = (arm.name for arm in rollout.arms)
        version = api.served(kind.group, kind.name, kind.versions)
        self.reference = Reference(version, kind.name, name, rollout.namespace)
        self.found = self._read()

    def check(self) -> None:
        """Refuse a route that has no place for the weights, or leads to a version that has no pod.

        Raises:
            LabError: saying which, and what to do.
        """
        self.spec_at(0)
        for name in (self._stable, self._canary):
            check_endpoints(self._api, self.found, name)

    def spec_at(self, weight: float) -> Object:
        """The spec with this weight (percent) for the canary.

        Raises:
            NoSuchArm: it has no place for it.
        """
        return routes.weighted(self.found, self._stable, self._canary, weight)

    def has(self, weight: float) -> bool:
        """Whether the canary has this part of the requests (percent) now, in each rule that leads to both versions."""
        return set(routes.shares(self.found, self._stable, self._canary)) == {weight}

    def claim(self, kept: record.Record) -> bool:
        """Write the record alone. Gives whether that was possible: if not, the route has changed, and was read again.

        Raises:
            ApiError: the API refuses it.
        """
        if self._kept(kept):
            return True
        self.found = self._read()
        return False

    def write(self, weight: float, kept: record.Record | None) -> None:
        """Write weight and record, and wait until every proxy has acknowledged them.

        Raises:
            RouteTaken: somebody else has changed the route.
            ConfigurationRejected, WaitTimeoutError: they are written, but not in force.
            ApiError: the API refuses it.
        """
        for _ in range(WRITES):
            try:
                self._patch({"metadata": self._meta(kept), "spec": self.spec_at(weight)})
            except ApiError as error:
                if error.reason != "Conflict":
                    raise
                self._look_again()
            else:
                version, end = self.found["metadata"]["resourceVersion"], time.monotonic() + LIVE_SECONDS
                await_live(status_of(self._api, findings=False), self.reference, version, end)
                return
        raise RouteTaken(f"{self.reference} changes all the time: the weights could not be written")

    def release(self, mine: Claim) -> None:
        """Leave the rollout to the next process, which goes on at its step; one that has not begun is forgotten.

        One that another process is at work on stays that one's.
        """
        for _ in range(WRITES):
            self.found = self._read()
            kept = record.read(self.found)
            if kept is None or kept.claim != mine or self._kept(kept.without_claim() if kept.step else None):
                return

    def _kept(self, kept: record.Record | None) -> bool:
        try:
            self._patch({"metadata": self._meta(kept)})
        except ApiError as error:
            if error.reason != "Conflict":
                raise
            return False
        return True

    def _meta(self, kept: record.Record | None) -> Object:
        """The metadata to write: it is refused where the object has changed."""
        version = self.found["metadata"]["resourceVersion"]
        return {"resourceVersion": version, "annotations": record.annotated(kept)}

    def _patch(self, change: Object) -> None:
        self.found = self._api.patch(self.reference, change)

    def _look_again(self) -> None:
        """Take the object's new version, if nothing but what does not concern a rollout has changed: its status."""
        before, self.found = self.found, self._read()
        if self.found["spec"] != before["spec"] or record.text_on(self.found) != record.text_on(before):
            raise RouteTaken(
                f"{self.reference} was changed by somebody else during the rollout; it stays as it is now",
                hint="`kubectl get -o yaml` shows it. Run the rollout again when it is as it should be.",
            )

    def _read(self) -> Object:
        found = self._api.find(self.reference)
        if found is None:
            raise LabError(f"there is no {self.reference}")
        return found
