"""Rules for WasmPlugin and TrafficExtension.

Nothing here fetches modules of WebAssembly or checks where they come from, so none is run. A module that is stored and
not run lets pass what it may be there to refuse; so it is refused when it is applied, unless it can only observe.
"""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from mesh_lab.controlplane.model.extensions import TrafficExtension, VmConfig, WasmConfig, WasmPlugin
from mesh_lab.controlplane.validation.common import Problem, error, warning
from mesh_lab.controlplane.validation.selection import selection

_SCHEMES = ("", "file", "http", "https", "oci")
_NOT_RUN = "this control plane fetches and runs no modules of WebAssembly"


def wasm_plugin(spec: WasmPlugin) -> Iterator[Problem]:
    """Problems of a WasmPlugin."""
    yield from selection(spec.selector, spec.target_ref, spec.target_refs)
    yield from _module("spec", spec)
    yield from _not_run("spec", spec.phase, spec)


def traffic_extension(spec: TrafficExtension) -> Iterator[Problem]:
    """Problems of a TrafficExtension."""
    yield from selection(spec.selector, None, spec.target_refs)
    if (spec.wasm is None) == (spec.lua is None):
        yield error("spec", "exactly one of wasm or lua must be set")
    if spec.wasm is not None:
        yield from _module("spec.wasm", spec.wasm)
        yield from _not_run("spec.wasm", spec.phase, spec.wasm)


def _module(path: str, module: WasmPlugin | WasmConfig) -> Iterator[Problem]:
    yield from _url(f"{path}.url", module.url)
    yield from _environment(f"{path}.vmConfig.env", module.vm_config)


def _not_run(path: str, phase: str, module: WasmPlugin | WasmConfig) -> Iterator[Problem]:
    if phase == "STATS" and module.fail_strategy == "FAIL_OPEN":
        yield warning(path, f"{_NOT_RUN}: it has no effect")
    else:
        text = "stored without effect it would let pass what the module, or its failStrategy, refuses"
        yield error(path, f"{_NOT_RUN}: {text} (only with phase STATS and failStrategy FAIL_OPEN it is stored)")


def _url(path: str, text: str) -> Iterator[Problem]:
    """A URL, or an image's name without `oci://`."""
    try:
        scheme = urlsplit(text).scheme if "://" in text else ""
        _ = urlsplit(text if scheme else f"http://{text}").port
    except ValueError as failure:
        yield error(path, f"failed to parse url: {failure}")
        return
    if scheme not in _SCHEMES:
        yield error(path, f"url contains unsupported scheme: {scheme}")


def _environment(path: str, machine: VmConfig | None) -> Iterator[Problem]:
    seen: set[str] = set()
    for index, variable in enumerate(machine.env if machine is not None else ()):
        if variable.name in seen:
            yield error(f"{path}[{index}].name", f"duplicate env {variable.name}")
        seen.add(variable.name)
        if variable.value_from == "HOST" and variable.value is not None:
            yield error(f"{path}[{index}].value", "value may only be set when valueFrom is INLINE")
