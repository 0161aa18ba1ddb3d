"""`make bench`: the lab's figures, with a description of the machine, printed and written to reports/bench.json.

Runs on a lab of its own, named `bench`, on free ports, which it resets before and after. Nothing here is a test: a time
says something about a machine, and the description says which.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mesh_lab.client.api import Api
from tests.bench import latency, machine, memory

ROOT = Path(__file__).resolve().parents[2]
COMMAND = (sys.executable, "-m", "mesh_lab.cli", "--dir", str(ROOT), "--name", "bench")
DATAPLANE = ROOT / "tests" / "bench" / "bench_dataplane.py"
ENVIRONMENT = os.environ | {f"MESH_LAB_{port}_PORT": "0" for port in ("API", "HTTP", "HTTPS")}
GOALS = {
    "up_cold_s": 5.0,
    "up_warm_s": 3.0,
    "up_again_s": 2.0,
    "memory_mb": 430.0,
    "change_to_serving_p99_ms": 7.0,
    "e2e_s": 120.0,
    "dataplane_ratio": 0.9,
}


def main() -> int:
    """Measure, print, write."""
    options = _options()
    if options.dataplane and shutil.which("wrk") is None:
        sys.stderr.write("wrk is missing: `make bench` installs it; --no-dataplane leaves the sidecars' cost out\n")
        return 1
    report: dict[str, Any] = {"machine": machine.describe(), "goals": GOALS, "figures": {}}
    figures = report["figures"]
    _lab("reset")
    try:
        _bring_up(figures, options.runs)
        status = json.loads(_lab("status", "-o", "json"))
        figures["memory"] = {group: asdict(weight) for group, weight in memory.weigh(status["pid"]).items()}
        figures["memory_mb"] = figures["memory"]["total"]["pss_mb"]
        _changes(figures, status, options.changes)
        if options.dataplane and DATAPLANE.is_file():
            figures["dataplane"] = _dataplane(status)
            figures["dataplane_ratio"] = figures["dataplane"]["ratio"]
        if options.e2e:
            figures["e2e_s"] = _e2e(status)
    finally:
        _lab("reset")
    _write(report, options.out)
    _print(report, options.out)
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench", description="Measures the lab.")
    parser.add_argument("--runs", type=int, default=3, help="how often the lab is brought up (default 3)")
    parser.add_argument("--changes", type=int, default=300, help="how many changes are followed (default 300)")
    parser.add_argument("--e2e", action="store_true", help="time the end-to-end suite too")
    parser.add_argument("--no-dataplane", dest="dataplane", action="store_false", help="leave the sidecars' cost out")
    parser.add_argument("--out", type=Path, default=ROOT / "reports" / "bench.json")
    return parser.parse_args()


def _bring_up(figures: dict[str, Any], runs: int) -> None:
    """Cold: nothing in `.lab-bench`, everything installed. Warm: objects in the journal. Again: it is up already."""
    cold, warm, again = [], [], []
    for _ in range(runs):
        _lab("reset")
        cold.append(_timed(lambda: _lab("up")))
        again.append(_timed(lambda: _lab("up")))
        _lab("down")
        warm.append(_timed(lambda: _lab("up")))
    for name, seconds in (("up_cold_s", cold), ("up_warm_s", warm), ("up_again_s", again)):
        figures[name] = round(statistics.median(seconds), 2)
        figures[f"{name}_runs"] = [round(each, 2) for each in seconds]


def _changes(figures: dict[str, Any], status: dict[str, Any], changes: int) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        api = Api(Path(status["kubeconfig"]), Path(scratch))
        try:
            figures["change_to_serving_ms"] = latency.quantiles(latency.serving(api, status["ports"]["http"], changes))
            figures["change_to_acknowledged_ms"] = latency.quantiles(latency.acknowledged(api, changes))
        finally:
            api.close()
    figures["change_to_serving_p99_ms"] = figures["change_to_serving_ms"]["p99"]


def _dataplane(status: dict[str, Any]) -> dict[str, Any]:
    """The sidecars against two Envoys configured by hand: a program of its own, which prints JSON on its last line."""
    command = [sys.executable, "-m", "tests.bench.bench_dataplane", "--kubeconfig", status["kubeconfig"]]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600, check=True)
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return figures


def _e2e(status: dict[str, Any]) -> float:
    command = [sys.executable, "-m", "pytest", "tests/e2e", "-q", "--mesh-kubeconfig", status["kubeconfig"]]
    return round(_timed(lambda: subprocess.run(command, cwd=ROOT, check=True, timeout=1800)), 1)


def _lab(*arguments: str) -> str:
    done = subprocess.run(
        [*COMMAND, *arguments], env=ENVIRONMENT, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
    )
    if done.returncode:
        raise SystemExit(f"mesh-lab {' '.join(arguments)} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


def _timed(action: Callable[[], object]) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def _write(report: dict[str, Any], out: Path) -> None:
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def _print(report: dict[str, Any], out: Path) -> None:
    host, figures = report["machine"], report["figures"]
    user = "root" if host["root"] else "ordinary user"
    lines = [
        f"{host['processor']}, {host['cores']} cores, {host['memory_mb']} MB",
        f"Linux {host['kernel']}, {host['distribution']}, {user}, load before: {host['load_before']}",
        "",
        f"{'figure':<28}{'measured':>10}{'goal':>10}",
    ]
    for name, goal in GOALS.items():
        measured = figures.get(name)
        lines.append(f"{name:<28}{'-' if measured is None else f'{measured:g}':>10}{goal:>10g}")
    lines += ["", f"{'memory (PSS)':<28}{'MB':>10}{'processes':>10}"]
    lines += [
        f"{group:<28}{weight['pss_mb']:>10g}{weight['processes']:>10}" for group, weight in figures["memory"].items()
    ]
    for name in ("change_to_serving_ms", "change_to_acknowledged_ms"):
        spread = ", ".join(f"{quantile} {value:g}" for quantile, value in figures[name].items())
        lines += ["", f"{name}: {spread}"]
    sys.stdout.write("\n".join([*lines, "", f"written to {out}", ""]))


if __name__ == "__main__":
    sys.exit(main())
