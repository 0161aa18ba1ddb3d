"""Assertions on what a mesh changes of a request or an answer: paths, headers, redirects, copies, CORS.

What the server saw is read from the echo server's answers (`show_body=True`), or given by `seen`: a function from a
result to the path, the host and the headers that the server says it got.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass

from mesh_lab.harness.assertions import assert_all
from mesh_lab.harness.results import Result
from mesh_lab.harness.statistics import FALSE_ALARM, binomial_interval
from mesh_lab.harness.telling import some

MOVED = 301


@dataclass(frozen=True, slots=True)
class Seen:
    """A request as its server saw it; names of headers are lower case."""

    path: str
    host: str
    headers: Mapping[str, str]


def seen_by_echo(result: Result) -> Seen:
    """The request as the echo server reports it.

    Raises:
        ValueError: the result has no body of the echo server's: send with `show_body=True`.
    """
    try:
        told = result.json
        headers = told["headers"]
        return Seen(told["path"], headers.get("host", ""), headers)
    except (ValueError, KeyError, TypeError):
        raise ValueError("the answer does not tell what its server saw: show_body=True, or give `seen`") from None


SeenBy = Callable[[Result], Seen]


def assert_rewritten(
    results: Collection[Result], *, path: str | None = None, host: str | None = None, seen: SeenBy = seen_by_echo
) -> None:
    """The server saw this path and this host, whatever the client had asked for.

    Raises:
        AssertionError: naming what it saw instead.
    """
    __tracebackhide__ = True
    assert_all(results)
    for result in results:
        request = seen(result)
        if path is not None and request.path != path:
            raise AssertionError(f"the server saw the path {request.path}, not {path}")
        if host is not None and request.host != host:
            raise AssertionError(f"the server saw the host {request.host}, not {host}")


def assert_request_headers(
    results: Collection[Result],
    present: Mapping[str, str] | None = None,
    absent: Collection[str] = (),
    *,
    seen: SeenBy = seen_by_echo,
) -> None:
    """The server saw these headers with these values, and none of those that are to be absent.

    Raises:
        AssertionError: naming the header and what the server saw.
    """
    __tracebackhide__ = True
    some(results)
    for result in results:
        _headers("the server saw", seen(result).headers, present or {}, absent)


def assert_response_headers(
    results: Collection[Result], present: Mapping[str, str] | None = None, absent: Collection[str] = ()
) -> None:
    """The answers have these headers with these values, and none of those that are to be absent.

    The results show only headers that were asked for: send with `show_header=[...]`, the absent ones included.

    Raises:
        AssertionError: naming the header and what the answer has.
    """
    __tracebackhide__ = True
    some(results)
    for result in results:
        _headers("the answer has", result.headers, present or {}, absent)


def _headers(who: str, found: Mapping[str, str], present: Mapping[str, str], absent: Collection[str]) -> None:
    __tracebackhide__ = True
    for name, value in present.items():
        if found.get(name.lower()) != value:
            raise AssertionError(f"{who} {name}: {found.get(name.lower())!r}, not {value!r}")
    for name in absent:
        if name.lower() in found:
            raise AssertionError(f"{who} {name}: {found[name.lower()]!r}, which should be absent")


def assert_redirected(results: Collection[Result], location: str, *, status: int = MOVED) -> None:
    """The answers redirect to this location. Send with `show_header=["location"]`.

    Raises:
        AssertionError: another status, or another location.
    """
    __tracebackhide__ = True
    assert_all(results, status=status)
    assert_response_headers(results, {"location": location})


def assert_mirrored(sent: int, mirrored: int, *, share: float = 1.0, false_alarm: float = FALSE_ALARM) -> None:
    """Of `sent` requests this share (a ratio) was copied: the mirror's servers counted `mirrored`.

    Raises:
        AssertionError: more or fewer were, by an exact test.
        ValueError: nothing was sent, or so little that the test could not fail.
    """
    __tracebackhide__ = True
    accepted = binomial_interval(sent, share, false_alarm)
    if not sent or (accepted.low, accepted.high) == (0, sent):
        raise ValueError(f"{sent} requests are too few to see a share of {share:.1%}: send more")
    if mirrored not in accepted:
        raise AssertionError(
            f"{mirrored} of {sent} requests were mirrored; {share * sent:.1f} were expected ({share:.1%}), "
            f"{accepted} are accepted (false-alarm rate {false_alarm:g})"
        )


CORS_HEADERS = (
    "access-control-allow-origin",
    "access-control-allow-methods",
    "access-control-allow-headers",
    "access-control-allow-credentials",
    "access-control-expose-headers",
    "access-control-max-age",
)
"""To be shown by a run whose answers `assert_cors` reads: `show_header=CORS_HEADERS`."""


def assert_cors(
    results: Collection[Result],
    origin: str | None,
    *,
    methods: Collection[str] = (),
    headers: Collection[str] = (),
    credentials: bool | None = None,
    max_age_s: int | None = None,
) -> None:
    """The answers let pages of this origin read them (None: no origin), by these methods, with these headers.

    Send with the header `origin`; to a preflight belong the method OPTIONS and `access-control-request-method`
    (https://fetch.spec.whatwg.org/#http-cors-protocol).

    Raises:
        AssertionError: naming the header and what the answer has.
    """
    __tracebackhide__ = True
    some(results)
    for result in results:
        found = result.headers
        allowed = found.get(CORS_HEADERS[0])
        if origin is None and allowed is not None:
            raise AssertionError(f"the answer lets pages of {allowed} read it; no origin was to be allowed")
        if origin is not None and allowed not in ({origin} if credentials else {origin, "*"}):
            raise AssertionError(f"the answer lets pages of {allowed or 'no origin'} read it, not those of {origin}")
        for name, wanted in ((CORS_HEADERS[1], methods), (CORS_HEADERS[2], headers)):
            listed = _words(found.get(name, "").split(","))
            missing = set() if "*" in listed else _words(wanted) - listed
            if missing:
                raise AssertionError(f"{name} is {found.get(name)!r}, without {', '.join(sorted(missing))}")
        if credentials is not None and (found.get(CORS_HEADERS[3]) == "true") != credentials:
            raise AssertionError(f"{CORS_HEADERS[3]} is {found.get(CORS_HEADERS[3])!r}")
        if max_age_s is not None and found.get(CORS_HEADERS[5]) != str(max_age_s):
            raise AssertionError(f"{CORS_HEADERS[5]} is {found.get(CORS_HEADERS[5])!r}, not {max_age_s}")


def _words(listed: Iterable[str]) -> set[str]:
    return {word.strip().lower() for word in listed}
