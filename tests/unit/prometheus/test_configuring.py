"""A configuration for a Prometheus without Kubernetes' discovery."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from mesh_lab.prometheus.configuring import ConfigError, Discovery, Selector, Translated, translate

SOURCE, TARGETS = Path("/etc/config/prometheus.yml"), Path("/targets")


def translated(text: str) -> Translated:
    return translate(text, SOURCE, TARGETS)


def jobs(*configs: dict[str, Any]) -> str:
    return yaml.safe_dump({"scrape_configs": [{"job_name": "pods", "kubernetes_sd_configs": list(configs)}]})


def test_a_discovery_becomes_a_file_of_targets() -> None:
    found = translated(jobs({"role": "pod"}))
    (discovery,) = found.discoveries
    assert discovery == Discovery("pod")
    (job,) = yaml.safe_load(found.text)["scrape_configs"]
    assert job == {"job_name": "pods", "file_sd_configs": [{"files": [f"/targets/{discovery.file}"]}]}


def test_one_question_has_one_file_and_another_question_another() -> None:
    found = translated(jobs({"role": "pod"}, {"role": "pod"}, {"role": "pod", "namespaces": {"names": ["default"]}}))
    assert len(found.discoveries) == 2
    files = yaml.safe_load(found.text)["scrape_configs"][0]["file_sd_configs"][0]["files"]
    assert len(files) == 3
    assert len(set(files)) == 2


def test_namespaces_selectors_and_attached_metadata_are_understood() -> None:
    asked = {
        "role": "endpoints",
        "namespaces": {"own_namespace": True, "names": ["a", "b"]},
        "selectors": [{"role": "pod", "label": "app=web", "field": "spec.nodeName=one"}],
        "attach_metadata": {"node": True, "namespace": False},
    }
    (found,) = translated(jobs(asked)).discoveries
    selectors = (Selector("pod", "app=web", "spec.nodeName=one"),)
    assert found == Discovery("endpoints", ("a", "b"), True, selectors, frozenset({"node"}))


def test_alertmanagers_are_discovered_too_beside_files_that_are_there() -> None:
    text = """
alerting:
  alertmanagers:
  - file_sd_configs: [{files: [mine.json]}]
    kubernetes_sd_configs: [{role: endpointslice}]
"""
    found = translated(text)
    (discovery,) = found.discoveries
    (manager,) = yaml.safe_load(found.text)["alerting"]["alertmanagers"]
    assert manager == {
        "file_sd_configs": [{"files": ["/etc/config/mine.json"]}, {"files": [f"/targets/{discovery.file}"]}]
    }


def test_what_is_not_concerned_stays_as_it_was_written() -> None:
    text = """global: {scrape_interval: 1:30, external_labels: {log_file: own, on: yes}}
scrape_configs:
- job_name: 'x'
  relabel_configs:
  - {action: keep, regex: true, source_labels: [a]}
  - {regex: '(\\d+);(.*)', replacement: '[$2]:$1'}
"""
    found = translated(text)
    assert found.discoveries == frozenset()
    assert yaml.load(found.text, yaml.BaseLoader) == yaml.load(text, yaml.BaseLoader)


def test_paths_stay_those_of_the_configurations_directory() -> None:
    text = """
rule_files: [rules/*.yml, /etc/other.yml]
scrape_configs:
- {job_name: x, bearer_token_file: token, tls_config: {ca_file: /run/ca.crt}, static_configs: [{labels: {a_file: b}}]}
"""
    found = yaml.safe_load(translated(text).text)
    assert found["rule_files"] == ["/etc/config/rules/*.yml", "/etc/other.yml"]
    (job,) = found["scrape_configs"]
    assert job["bearer_token_file"] == "/etc/config/token"
    assert job["tls_config"]["ca_file"] == "/run/ca.crt"
    assert job["static_configs"] == [{"labels": {"a_file": "b"}}]


def test_an_empty_configuration_is_one() -> None:
    assert translated("") == Translated("", frozenset())


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"role": "pods"}, "role: one of endpoints, endpointslice, .* expected, not 'pods'"),
        ({}, "role: one of"),
        ({"role": "pod", "api_server": "https://elsewhere"}, "api_server: the lab's discovery asks the cluster"),
        ({"role": "pod", "kubeconfig_file": "x"}, "kubeconfig_file: the lab's discovery"),
        ({"role": "pod", "selectors": [{"role": "service"}]}, r"selectors\[0\].role: the role pod has no objects"),
        ({"role": "pod", "attach_metadata": {"zone": True}}, "attach_metadata.zone: unknown"),
    ],
)
def test_a_discovery_that_is_not_understood_is_refused_with_its_place(asked: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=r"^scrape_configs\[0\]\.kubernetes_sd_configs\[0\]\." + words):
        translated(jobs(asked))


def test_what_is_no_yaml_is_refused() -> None:
    with pytest.raises(ConfigError, match="line "):
        translated("a: [")
