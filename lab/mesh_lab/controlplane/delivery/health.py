"""What machines report of their health: the condition `Healthy` of their WorkloadEntries.

Source: pilot/pkg/autoregistration/internal/{health,state} of Istio 1.30. Other than Istio's agent, the lab's reports
after each probe, so that a condition that was lost is written again.
"""

from __future__ import annotations

import logging

from envoy.config.core.v3.base_pb2 import Node

from mesh_lab import conditions
from mesh_lab.controlplane.delivery.identity import Caller, Unauthenticated
from mesh_lab.controlplane.delivery.machines import claim_of
from mesh_lab.controlplane.delivery.registration import Api, check_account, name_of
from mesh_lab.controlplane.kube.client import ApiError
from mesh_lab.controlplane.kube.kinds import FOLLOWED
from mesh_lab.controlplane.world.workloadhealth import ANNOTATION, HEALTHY

log = logging.getLogger(__name__)

_ENTRIES = FOLLOWED["WorkloadEntry"]
_CONFLICT = 409
_ATTEMPTS = 5


class HealthReports:
    """Writes the conditions."""

    def __init__(self, api: Api) -> None:
        self._api = api

    async def take(self, caller: Caller, node: Node, problem: str) -> None:
        """Write what a machine reports: it is healthy if there is no problem.

        Raises:
            Unauthenticated: the machine is not what it says, or its entry is another account's.
            ApiError, Unreachable: it cannot be written now.
        """
        claim = claim_of(caller, node)
        name = name_of(claim)
        if not name:
            raise Unauthenticated("the node says neither its WorkloadGroup nor its WorkloadEntry")
        for attempt in range(1, _ATTEMPTS + 1):
            entry = await self._api.get(_ENTRIES, name, claim.namespace)
            if entry is None or ANNOTATION not in (entry["metadata"].get("annotations") or {}):
                return
            account = (entry.get("spec") or {}).get("serviceAccount", "")
            check_account(claim, account, f"WorkloadEntry {claim.namespace}/{name}")
            known = (entry.get("status") or {}).get("conditions") or []
            wanted = conditions.condition(known, HEALTHY, "False" if problem else "True", message=problem)
            if wanted == conditions.find(known, HEALTHY):
                return
            version = {"resourceVersion": entry["metadata"]["resourceVersion"]}
            patch = {"metadata": version, "status": {"conditions": conditions.updated(known, wanted)}}
            try:
                await self._api.merge(_ENTRIES, name, patch, claim.namespace, "status")
            except ApiError as error:
                if error.status != _CONFLICT or attempt == _ATTEMPTS:
                    raise
                continue
            log.info(
                "WorkloadEntry %s/%s is %s", claim.namespace, name, f"unhealthy: {problem}" if problem else "healthy"
            )
            return
