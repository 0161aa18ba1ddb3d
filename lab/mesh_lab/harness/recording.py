"""Fetches the records of requests from the logs of the proxies at both ends, and joins them with the results."""

from __future__ import annotations

import contextlib
import math
import time
from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import replace

from mesh_lab.client.api import Api
from mesh_lab.client.connection import ApiError
from mesh_lab.client.objects import Object
from mesh_lab.client.pods import PROXY_CONTAINER
from mesh_lab.harness.records import CLIENT, SERVER, Record, parse_records
from mesh_lab.harness.results import Result, Results

WRITTEN_SECONDS = 10.0
"""How long a record may take from Envoy's buffer into the log: the sidecars' are written once a second."""
PAUSE_SECONDS = 0.25
EARLIER_SECONDS = 2.0


class Recorder:
    """Joins the results of runs from one client's pod with what the proxies have recorded of them."""

    def __init__(self, api: Api, namespace: str, pod: str) -> None:
        self._api = api
        self._namespace = namespace
        self._pod = pod
        self._begun = time.monotonic()

    def joined(self, results: Results) -> Results:
        """The results, each with the record of the client's proxy, and of the server's where that has one.

        Raises:
            LookupError: the client's proxy has not recorded all of them; the message says what to do.
        """
        ids = {result.id for result in results if result.id}
        sent = self._records(self._namespace, self._pod, CLIENT, ids)
        if missing := ids - sent.keys():
            raise LookupError(
                f"the proxy of {self._pod} has recorded {len(sent)} of {len(ids)} requests, not {min(missing)}: "
                "send them within `with mesh.recording():`, and from a pod with a sidecar"
            )
        pods = self._pods({record.upstream for record in sent.values()})
        named = {key: _of_pod(record, pods) for key, record in sent.items()}
        served = self._served(named, pods)
        return Results(replace(each, record=named.get(each.id), served=served.get(each.id)) for each in results)

    def _served(self, sent: Mapping[str, Record], pods: Mapping[str, Object]) -> dict[str, Record]:
        """What the proxies of the servers recorded: of requests over mutual TLS there are such proxies."""
        wanted: defaultdict[str, set[str]] = defaultdict(set)
        for record in sent.values():
            if record.upstream_identity and record.pod:
                wanted[_address(record.upstream)].add(record.id)
        found: dict[str, Record] = {}
        for address, ids in wanted.items():
            meta = pods[address]["metadata"]
            found |= self._records(meta["namespace"], meta["name"], SERVER, ids)
        return found

    def _records(self, namespace: str, pod: str, side: str, ids: Collection[str]) -> dict[str, Record]:
        """The last record of each id, as soon as all are written, or what there is when the time is over."""
        end = time.monotonic() + WRITTEN_SECONDS
        while True:
            lines = self._log(namespace, pod).splitlines()
            found = {each.id: each for each in parse_records(lines) if each.side == side and each.id in ids}
            if len(found) == len(ids) or time.monotonic() > end:
                return found
            time.sleep(PAUSE_SECONDS)

    def _log(self, namespace: str, pod: str) -> str:
        since = math.ceil(time.monotonic() - self._begun + EARLIER_SECONDS)
        path = self._api.path("v1", "Pod", namespace, pod) + "/log"
        try:
            return str(self._api.request("GET", path, container=PROXY_CONTAINER, sinceSeconds=since))
        except ApiError as error:
            raise LookupError(f"the log of {pod}'s proxy cannot be read: {error}") from error

    def _pods(self, upstreams: Collection[str]) -> dict[str, Object]:
        """The pods at these addresses, by address; those of other namespaces, too, where the user may see them."""
        wanted = {_address(each) for each in upstreams if each}
        found = self._at(wanted, self._namespace)
        if wanted - found.keys():
            with contextlib.suppress(ApiError):  # where that is not allowed, the records keep the address
                found |= self._at(wanted - found.keys(), "")
        return found

    def _at(self, addresses: Collection[str], namespace: str) -> dict[str, Object]:
        pods = self._api.list_all("v1", "Pod", namespace)
        live = [pod for pod in pods if not pod["spec"].get("hostNetwork")]
        by_address = {entry["ip"]: pod for pod in live for entry in pod.get("status", {}).get("podIPs") or ()}
        return {address: by_address[address] for address in addresses if address in by_address}


def _of_pod(record: Record, pods: Mapping[str, Object]) -> Record:
    pod = pods.get(_address(record.upstream))
    return record if pod is None else replace(record, pod=pod["metadata"]["name"])


def _address(upstream: str) -> str:
    """The IP address in an endpoint's, which may be IPv6 within brackets."""
    return upstream.rpartition(":")[0].strip("[]")


def pod_of(result: Result) -> str:
    """The pod that answered, from the proxies' records: `by=pod_of`."""
    return result.pod
