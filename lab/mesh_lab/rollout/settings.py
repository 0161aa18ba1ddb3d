"""The file of a rollout: which route, which two versions, which steps, and what the new version has to keep to."""

from __future__ import annotations

import hashlib
import math
import re
from pathlib import Path
from typing import Literal, NoReturn

import msgspec
import yaml

from mesh_lab.errors import LabError
from mesh_lab.harness.versions import VersionOf, by_header, by_json
from mesh_lab.yamlplaces import line_of

MAX_STEPS = 50
LEAST_ALLOWED = 1e-4
"""A ratio of 0 cannot be tested: one bad request in any number would end a rollout."""
SUCCESS = "success"
DEFAULT_STEPS = (5.0, 10.0, 25.0, 50.0, 100.0)
MOST_OF_EACH, MOST_TIMEOUT, MOST_REQUESTS = 10_000, 120, 1_000_000
_PERCENT = re.compile(r"(?P<number>\d+(?:\.\d+)?)\s*%")
_DURATION = re.compile(r"(?P<number>\d+(?:\.\d+)?)(?P<unit>ms|s)")
_QUANTILE = re.compile(r"p(?P<number>\d{1,2}(?:\.\d+)?)")
_ROUTE = re.compile(r"(?P<kind>[a-z]+)/(?P<name>[a-z0-9.-]+)")
_FIELD = re.compile(r" - at `(?P<path>[^`]+)`$")


class BadRollout(LabError):  # noqa: N818 - the caller's mistake
    """The file is not that of a rollout; the message says where and why."""

    def __init__(self, message: str) -> None:
        super().__init__(message, hint="docs/rollout.md has the fields.", exit_code=2)


class Arm(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One of the two versions: its name in the route (a subset, a backend), and what its answers say they are of."""

    name: str
    version: str = ""


class Success(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """The ratio of requests that has to succeed, and by how much less it may not be: both as percent."""

    at_least: str = "99%"
    worse_by: str = "5%"


class Compare(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many times as often as the stable version's the canary's requests may be bad; what is to be found."""

    times: float = 2.0
    worse: float = 5.0


class Requests(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """What is sent: requests a second, at once, seconds for each.

    A step ends with `most` requests of the version that it judges, or after `deadline` seconds.
    """

    rate: float = 500.0
    concurrency: int = 50
    timeout: float = 5.0
    most: int = 2_000
    deadline: float = 300.0
    headers: dict[str, str] = {}
    method: str = "GET"


class Rates(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """How often a verdict may be wrong (probabilities): of a rollout that is right, of a step that is not."""

    false_alarm: float = 1e-3
    missed: float = 1e-3


class Rollout(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """A rollout as its file has it."""

    route: str
    stable: Arm | str
    canary: Arm | str
    url: str
    namespace: str = "default"
    strategy: Literal["canary", "blue-green"] = "canary"
    steps: list[float] | None = None
    version: str = ""
    success: Success = Success()
    latency: dict[str, str] = {}
    compare: Compare | None = None
    requests: Requests = Requests()
    rates: Rates = Rates()

    @property
    def weights(self) -> tuple[float, ...]:
        """The canary's weight at each step, in percent."""
        if self.steps is not None:
            return tuple(self.steps)
        return (100.0,) if self.strategy == "blue-green" else DEFAULT_STEPS

    @property
    def arms(self) -> tuple[Arm, Arm]:
        """The stable version and the canary."""
        stable, canary = (arm if isinstance(arm, Arm) else Arm(arm) for arm in (self.stable, self.canary))
        return stable, canary

    @property
    def kind_and_name(self) -> tuple[str, str]:
        """Of the route: `virtualservice`, and its name."""
        kind, _, name = self.route.partition("/")
        return kind, name

    @property
    def bounds(self) -> dict[float, float]:
        """The latencies that hold for a quantile: 0.99 by 0.25 s."""
        return {_quantile(name): _seconds(text) for name, text in self.latency.items()}

    @property
    def ratios(self) -> dict[str, tuple[float, float]]:
        """Of each criterion by its name, the ratio of bad requests that is allowed, and the worse one to be found."""
        allowed, worse_by = allowed_failures(self)
        return {
            SUCCESS: _between(allowed, worse_by),
            **{latency_name(share): _between(1 - share, worse_by) for share in self.bounds},
        }

    @property
    def least(self) -> int:
        """How many requests of a version without any fault a step takes at least."""
        good = math.log(self.rates.missed)
        return math.ceil(max(good / math.log((1 - worse) / (1 - allowed)) for allowed, worse in self.ratios.values()))

    @property
    def version_of(self) -> VersionOf | None:
        """Reads the version of a result; None: as the lab's samples say it.

        Raises:
            ValueError: the path in JSON is none.
        """
        where, _, name = self.version.partition(":")
        return None if not name else by_header(name) if where == "header" else by_json(name)

    @property
    def digest(self) -> str:
        """The same for the same versions and steps: by it a route knows the rollout that it is in the middle of."""
        what = (self.namespace, self.route, self.arms, self.weights)
        return hashlib.blake2b(msgspec.json.encode(what), digest_size=8).hexdigest()


def read(path: Path) -> Rollout:
    """The rollout in a file.

    Raises:
        BadRollout: it cannot be read, is no YAML, or a field is unknown, of another type, or out of its range.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadRollout(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from error
    try:
        rollout = msgspec.convert(yaml.safe_load(text), Rollout)
        check(rollout)
    except yaml.YAMLError as error:
        raise BadRollout(f"{path} is not YAML: {error}") from error
    except msgspec.ValidationError as error:
        raise BadRollout(_placed(path, text, str(error))) from error
    return rollout


def _placed(path: Path, text: str, message: str) -> str:
    """The message with file, line and field. msgspec names the field at its end."""
    found = _FIELD.search(message)
    field = found["path"] if found else "$"
    plain = message[: found.start()] if found else message
    return f"{path}:{line_of(text, field)}: {field.removeprefix('$').lstrip('.') or 'the file'}: {plain}"


def check(rollout: Rollout) -> None:
    """Refuse what the fields' types let through.

    Raises:
        msgspec.ValidationError: naming the field, as msgspec does.
    """
    stable, canary = rollout.arms
    if not _ROUTE.fullmatch(rollout.route):
        _refuse("route", f"{rollout.route!r} is not of the form KIND/NAME, as virtualservice/reviews")
    if not rollout.url.startswith(("http://", "https://", "grpc://", "grpcs://")):
        _refuse("url", f"{rollout.url!r} is no URL of http, https, grpc or grpcs")
    if stable == canary:
        _refuse("canary", "is the stable version")
    if rollout.version and not re.fullmatch(r"(header|json):.+", rollout.version):
        _refuse("version", f"{rollout.version!r} is neither header:NAME nor json:PATH")
    try:
        _ = rollout.version_of
    except ValueError as error:
        _refuse("version", str(error))
    _check_steps(rollout)
    _check_numbers(rollout)


def _check_steps(rollout: Rollout) -> None:
    weights = rollout.weights
    if not 1 <= len(weights) <= MAX_STEPS:
        _refuse("steps", f"{len(weights)} steps; there may be 1 to {MAX_STEPS}")
    for index, (weight, before) in enumerate(zip(weights, (0.0, *weights), strict=False)):
        if not before < weight <= 100:
            _refuse(f"steps[{index}]", f"{weight:g} is not above {before:g} and at most 100: weights are in percent")
        if weight != int(weight):
            _refuse(f"steps[{index}]", f"{weight:g} is no whole number of percent")
    if rollout.strategy == "blue-green" and rollout.steps not in (None, [100.0]):
        _refuse("steps", "blue-green switches at once: it has no steps, or the one of 100")
    if weights[-1] != 100:
        _refuse(f"steps[{len(weights) - 1}]", "the last step has to be 100: all requests to the canary")


def _check_numbers(rollout: Rollout) -> None:
    for name, text in rollout.latency.items():
        if not _QUANTILE.fullmatch(name) or not _DURATION.fullmatch(text) or not _quantile(name) * _seconds(text):
            _refuse(f"latency.{name}", f"{name}: {text} is not of the form p99: 250ms")
    success, (_, worse_by) = rollout.success, allowed_failures(rollout)
    for name, (allowed, worse) in rollout.ratios.items():
        if not worse_by or worse <= allowed or (name == SUCCESS and worse - allowed < worse_by - LEAST_ALLOWED):
            of = success.at_least if name == SUCCESS else f"{1 - allowed:.4g} ({name})"
            _refuse("success.worseBy", f"{success.worse_by} below {of} is no ratio to find")
    compare = rollout.compare
    if compare is not None and not 1 <= compare.times < compare.worse <= 1_000:
        _refuse("compare", f"times {compare.times:g}, worse {compare.worse:g}: wanted is 1 <= times < worse <= 1000")
    for name, number in (("falseAlarm", rollout.rates.false_alarm), ("missed", rollout.rates.missed)):
        if not 0 < number < 0.5:
            _refuse(f"rates.{name}", f"{number:g} is not between 0 and 0.5")
    _check_requests(rollout)


def _check_requests(rollout: Rollout) -> None:
    asked, least = rollout.requests, rollout.least
    for name, number in (("rate", asked.rate), ("concurrency", asked.concurrency), ("deadline", asked.deadline)):
        if not 0 < number <= MOST_OF_EACH:
            _refuse(f"requests.{name}", f"{number:g} is not above 0 and at most {MOST_OF_EACH}")
    if not 0 < asked.timeout <= MOST_TIMEOUT:
        _refuse("requests.timeout", f"{asked.timeout:g} is not above 0 and at most {MOST_TIMEOUT}")
    if not least <= asked.most <= MOST_REQUESTS:
        lowest = f"{least}, which a version without a fault takes,"
        _refuse("requests.most", f"{asked.most} is not between {lowest} and {MOST_REQUESTS}")
    weight = rollout.weights[0]
    if (in_time := asked.rate * asked.deadline * weight / 100) < least:
        what = f"{in_time:.0f} requests in {asked.deadline:g} s at {asked.rate:g} a second"
        _refuse("requests.deadline", f"a step of {weight:g}% gives the canary {what}; at least {least} are needed")


def allowed_failures(rollout: Rollout) -> tuple[float, float]:
    """The ratio of failures that is allowed, and by how much more is to be found.

    Raises:
        msgspec.ValidationError: they are no percentages.
    """
    return 1 - _ratio("success.atLeast", rollout.success.at_least), _ratio("success.worseBy", rollout.success.worse_by)


def latency_name(share: float) -> str:
    """The name of the criterion of a latency at a quantile."""
    return f"latency p{100 * share:g}"


def _between(allowed: float, worse_by: float) -> tuple[float, float]:
    allowed = max(allowed, LEAST_ALLOWED)
    return allowed, min(allowed + worse_by, 1 - LEAST_ALLOWED)


def _ratio(field: str, text: str) -> float:
    found = _PERCENT.fullmatch(text)
    if found is None or not 0 <= float(found["number"]) <= 100:
        _refuse(field, f"{text!r} is no percentage, as 99.5%")
    return float(found["number"]) / 100


def _quantile(name: str) -> float:
    return float(name.removeprefix("p")) / 100


def _seconds(text: str) -> float:
    number = float(text.removesuffix("s").removesuffix("m"))
    return number / 1000 if text.endswith("ms") else number


def _refuse(field: str, why: str) -> NoReturn:
    raise msgspec.ValidationError(f"{why} - at `$.{field}`")
