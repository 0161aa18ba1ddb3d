"""`pilot-agent proxy`, as Istio's own gateways run it: what Envoy is started with."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from mesh_lab.controlplane.injection import agent
from mesh_lab.controlplane.xds.peers import pack_fields

ARGUMENTS = (
    "proxy",
    "router",
    "--domain",
    "istio-system.svc.cluster.local",
    "--proxyLogLevel=debug",
    "--proxyComponentLogLevel=misc:error",
    "--log_output_level=default:info",
)
ENVIRONMENT = {
    "CA_ADDR": "istiod-canary.istio-system.svc:15012",
    "POD_NAME": "istio-ingressgateway-1",
    "POD_NAMESPACE": "istio-system",
    "INSTANCE_IP": "10.244.0.9",
    "SERVICE_ACCOUNT": "istio-ingressgateway-service-account",
    "ISTIO_META_WORKLOAD_NAME": "istio-ingressgateway",
}


def test_envoy_is_started_as_the_injector_would_start_it() -> None:
    proxy = agent.settings(agent.parse(ARGUMENTS), ENVIRONMENT)
    assert (proxy.kind, proxy.log_level, proxy.cluster_domain) == ("router", "debug", "cluster.local")
    words = agent.arguments(proxy, ENVIRONMENT)
    config = json.loads(words[words.index("--config-yaml") + 1])
    assert config["node"]["id"] == "router~10.244.0.9~istio-ingressgateway-1.istio-system~" + ARGUMENTS[3]
    assert config["node"]["metadata"]["WORKLOAD_NAME"] == "istio-ingressgateway"
    assert "istiod-canary.istio-system.svc" in words[words.index("--config-yaml") + 1]
    labels = agent.labels_in('app="istio-ingressgateway"\nversion="v1"\n')
    assert agent.peer(proxy, ENVIRONMENT, labels) == pack_fields("istio-system", "istio-ingressgateway", labels)


def test_options_may_stand_apart_from_their_values() -> None:
    command = agent.parse(["proxy", "--concurrency", "2", "--templateFile", "--proxyLogLevel=info"])
    assert (command.kind, command.options["--concurrency"], command.options["--proxyLogLevel"]) == (
        "sidecar",
        "2",
        "info",
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [([], "only the command proxy"), (["wait"], "only the command proxy"), (["proxy", "ztunnel"], "not 'ztunnel'")],
)
def test_what_is_no_such_command_ends_with_two(arguments: list[str], words: str) -> None:
    run = subprocess.run(
        [sys.executable, "-m", agent.__name__, *arguments], capture_output=True, text=True, check=False, timeout=60
    )
    assert (run.returncode, words in run.stderr) == (2, True)
