"""`python -m mesh_lab.prometheus BINARY [OPTIONS]`: Prometheus with its options, and the discovery where it lacks that.

Exit code: that of Prometheus, 128 + the signal's number where one ended it, 1 when it cannot be started.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

_OPTION = "--config.file"
_LACKING = b"field kubernetes_sd_configs not found"
# A role that no Prometheus has: one with the discovery refuses it as well, so neither begins to serve.
_PROBE = "scrape_configs: [{job_name: probe, kubernetes_sd_configs: [{role: none}]}]\n"
_PROBE_SECONDS = 20.0
_ACCOUNT = Path(os.environ.get("MESH_LAB_SERVICE_ACCOUNT", "/var/run/secrets/kubernetes.io/serviceaccount"))


def main(arguments: Sequence[str]) -> int:
    """Run Prometheus until it ends. One that needs no help takes the place of this process."""
    binary, *options = arguments
    at = config_option(options)
    if at is None or not lacks_discovery(binary):
        os.execv(binary, [binary, *options])
    with tempfile.TemporaryDirectory(prefix="prometheus-") as made:
        return _run(binary, options, at, Path(made))


def lacks_discovery(binary: str) -> bool:
    """Whether this Prometheus was built without Kubernetes' discovery. It is asked by a configuration with one."""
    with tempfile.TemporaryDirectory(prefix="prometheus-") as made:
        file = Path(made, "probe.yml")
        file.write_text(_PROBE, encoding="utf-8")
        command = [binary, f"{_OPTION}={file}", f"--storage.tsdb.path={made}", "--web.listen-address=127.0.0.1:0"]
        try:
            ended = subprocess.run(command, capture_output=True, timeout=_PROBE_SECONDS, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            _log(f"cannot ask {binary} for its discovery: {error}")
            return False
        return _LACKING in ended.stderr


def config_option(options: Sequence[str]) -> tuple[int, int, str] | None:
    """Where the options name the configuration (from, to) and its path; None without it: then it is Prometheus' own."""
    for index, option in enumerate(options):
        name, equals, value = option.partition("=")
        if name == _OPTION and equals:
            return index, index + 1, value
        if name == _OPTION and index + 1 < len(options):
            return index, index + 2, options[index + 1]
    return None


def _run(binary: str, options: Sequence[str], at: tuple[int, int, str], made: Path) -> int:
    from mesh_lab.prometheus.handing import hand_out

    first, after, named = at
    source = Path(named).absolute()
    handed = made / "handed" / source.name
    handed.parent.mkdir()
    hand_out(handed, _translator(source, made))
    _log(f"{binary} was built without kubernetes_sd_configs: the lab's discovery stands in")
    child = subprocess.Popen([binary, *options[:first], f"{_OPTION}={handed}", *options[after:]])
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda received, _: child.send_signal(received))
    code = child.wait()
    return code if code >= 0 else 128 - code


def _translator(source: Path, made: Path) -> Callable[[], str]:
    """What makes the configuration for Prometheus of the file that it was told of."""
    from mesh_lab.client.api import Api
    from mesh_lab.prometheus.configuring import ConfigError, translate
    from mesh_lab.prometheus.discovering import Discovering

    targets = made / "targets"
    targets.mkdir()
    own_namespace = (_ACCOUNT / "namespace").read_text(encoding="utf-8").strip()
    discovering = Discovering(Api(_kubeconfig(made)), targets, own_namespace, _log)
    discovering.start()

    def translated() -> str:
        try:
            found = translate(source.read_text(encoding="utf-8"), source, targets)
        except (OSError, UnicodeDecodeError, ConfigError) as error:
            _log(f"{source}: {error}")
            # No field of Prometheus': it refuses the configuration, and says the words.
            return f"{json.dumps(f'{source}: {error}')}: refused\n"
        discovering.ask(found.discoveries)
        return found.text

    return translated


def _kubeconfig(made: Path) -> Path:
    """The way to the API that a pod has, as a kubeconfig: JSON is YAML. The token is read anew for each request."""
    server = f"https://{os.environ['KUBERNETES_SERVICE_HOST']}:{os.environ['KUBERNETES_SERVICE_PORT']}"
    cluster = {"server": server, "certificate-authority": str(_ACCOUNT / "ca.crt")}
    content = {
        "current-context": "pod",
        "contexts": [{"name": "pod", "context": {"cluster": "pod", "user": "pod"}}],
        "clusters": [{"name": "pod", "cluster": cluster}],
        "users": [{"name": "pod", "user": {"tokenFile": str(_ACCOUNT / "token")}}],
    }
    file = made / "kubeconfig"
    file.write_text(json.dumps(content), encoding="utf-8")
    return file


def _log(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
