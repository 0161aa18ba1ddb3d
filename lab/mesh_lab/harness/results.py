"""What the traffic client reports."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from operator import attrgetter
from typing import Any

from mesh_lab.harness.records import Record

ATTEMPT_HEADER = "x-envoy-attempt-count"


@dataclass(frozen=True, slots=True)
class Result:
    """One request: its status (0: no answer, `error` names the reason); times in ms since the run's start.

    `grpc_status` is of calls only (https://grpc.io/docs/guides/status-codes/). `tls` is the protocol's version,
    `certificate` the server's as PEM where it was asked for. Of a run with `recorded=True`, `record` is what the
    client's proxy wrote of the request and `served` what the server's did, where it did (`mesh.recording`).
    """

    status: int
    at_ms: float
    duration_ms: float
    error: str = ""
    detail: str = ""
    version: str = ""
    hostname: str = ""
    protocol: str = ""
    id: str = ""
    body: str = ""
    grpc_status: int | None = None
    tls: str = ""
    certificate: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    record: Record | None = None
    served: Record | None = None

    @property
    def json(self) -> Any:
        """The body, parsed.

        Raises:
            ValueError: it is not JSON (or was not asked for).
        """
        return json.loads(self.body)

    @property
    def outcome(self) -> str:
        """The status, `grpc` and its code for a call that failed, or the error's name."""
        if self.grpc_status:
            return f"grpc {self.grpc_status}"
        return str(self.status) if self.status else self.error

    @property
    def attempts(self) -> int:
        """How often the request was sent to a server, the first time included; 0 where none was chosen.

        It is what the client's proxy recorded. Where the answer says which attempt it is of (`x-envoy-attempt-count`,
        to be shown by `show_header`), both must agree.

        Raises:
            LookupError: the run was not recorded.
            ValueError: what the server says differs from what the proxy recorded.
        """
        recorded = self._recorded.attempts
        said = self.headers.get(ATTEMPT_HEADER, "")
        if said.isdigit() and int(said) != recorded:
            raise ValueError(f"the answer is of attempt {said}, says {ATTEMPT_HEADER}; the proxy recorded {recorded}")
        return recorded

    @property
    def flags(self) -> str:
        """Why the client's proxy answered itself or gave up, in Envoy's words (`UO`, `URX,UF`); empty for nothing.

        Raises:
            LookupError: the run was not recorded.
        """
        return self._recorded.flags

    @property
    def pod(self) -> str:
        """The pod that the client's proxy chose at last; its address where that is no pod's, empty for none.

        Raises:
            LookupError: the run was not recorded.
        """
        return self._recorded.pod or self._recorded.upstream

    @property
    def identity(self) -> str:
        """The client's identity (a SPIFFE URI) as the server's proxy verified it; empty over plaintext.

        Raises:
            LookupError: the run was not recorded, or the server has no proxy that did so.
        """
        if self.served is None:
            raise LookupError(f"no proxy of a server has recorded the request {self.id or '?'}")
        return self.served.downstream_identity

    @property
    def server_identity(self) -> str:
        """The server's identity as the client's proxy verified it; empty over plaintext.

        Raises:
            LookupError: the run was not recorded.
        """
        return self._recorded.upstream_identity

    @property
    def _recorded(self) -> Record:
        if self.record is None:
            raise LookupError("the request was not recorded: send it with recorded=True, within mesh.recording()")
        return self.record


By = str | Callable[[Result], object]
"""How results are told apart: the name of an attribute, or a function (`by_header`, `by_json`, or any other)."""


class Results(list[Result]):
    """All results of a run, in the order in which they came in."""

    def counts(self, by: By) -> Counter[str]:
        """How many results have which value of an attribute, or of a function of theirs."""
        value = by if callable(by) else attrgetter(by)
        return Counter(str(value(result)) for result in self)

    def versions(self) -> Counter[str]:
        """How many results are of which version; those without one are under the empty text."""
        return self.counts("version")

    def read_by(self, version_of: Callable[[Result], str]) -> Results:
        """The same results with the version that a function reads from each."""
        return Results(replace(result, version=version_of(result)) for result in self)

    def with_status(self, status: int) -> Results:
        """The results of this status."""
        return Results(result for result in self if result.status == status)


def parse_results(lines: Iterable[str]) -> Results:
    """The results in what `mesh-lab-app send` printed.

    Raises:
        ValueError: a line that is not its output, or a run that ended without its summary.
    """
    results, complete = Results(), False
    for line in lines:
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
        except ValueError:
            raise ValueError(f"not a result of `mesh-lab-app send`: {line[:200]!r}") from None
        if "summary" in entry:
            complete = not entry["summary"]["cut_short"]
            continue
        results.append(_result(entry))
    if not complete:
        raise ValueError(f"the run of requests was cut short after {len(results)} results")
    return results


def _result(entry: Mapping[str, Any]) -> Result:
    known = {name: entry[name] for name in Result.__dataclass_fields__ if entry.get(name) is not None}
    return Result(**known)
