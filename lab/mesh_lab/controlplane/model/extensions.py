"""WasmPlugin and TrafficExtension: filters of the user's own in the proxies.

https://istio.io/latest/docs/reference/config/proxy_extensions/
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, field

from mesh_lab.controlplane.model.base import (
    FreeText,
    Int32,
    JsonObject,
    NonEmpty,
    PolicyTargetReference,
    Port,
    Spec,
    TargetReferences,
    WorkloadSelector,
)

PullPolicy = Literal["UNSPECIFIED_POLICY", "IfNotPresent", "Always"]
PluginType = Literal["UNSPECIFIED_PLUGIN_TYPE", "HTTP", "NETWORK"]
PluginPhase = Literal["UNSPECIFIED_PHASE", "AUTHN", "AUTHZ", "STATS"]
ExecutionPhase = Literal["UNSPECIFIED", "AUTHN", "AUTHZ", "STATS"]
FailStrategy = Literal["FAIL_CLOSE", "FAIL_OPEN", "FAIL_RELOAD"]

_Sha256 = Annotated[str, Meta(pattern="(^$|^[a-f0-9]{64}$)")]
_SecretName = Annotated[str, Meta(min_length=1, max_length=253)]
_PluginName = Annotated[str, Meta(min_length=1, max_length=256)]


class EnvVar(Spec, frozen=True):
    """A variable of a module's environment, given or taken from the proxy's."""

    name: Annotated[str, Meta(min_length=1, max_length=256)]
    value_from: Literal["INLINE", "HOST"] = "INLINE"
    value: Annotated[str, Meta(max_length=2048)] | None = None


class VmConfig(Spec, frozen=True):
    """The environment of a module."""

    env: Annotated[list[EnvVar], Meta(max_length=256)] = []


class MatchedPort(Spec, frozen=True):
    """A port of the server."""

    number: Port


class TrafficSelector(Spec, frozen=True):
    """Traffic by its side (client, server) and by its ports."""

    mode: Literal["UNDEFINED", "CLIENT", "SERVER", "CLIENT_AND_SERVER"] = "UNDEFINED"
    ports: list[MatchedPort] = []


class WasmPlugin(Spec, frozen=True):
    """A module of WebAssembly as a filter."""

    url: NonEmpty
    selector: WorkloadSelector | None = None
    target_ref: PolicyTargetReference | None = None
    target_refs: TargetReferences = []
    sha256: _Sha256 = ""
    image_pull_policy: PullPolicy = "UNSPECIFIED_POLICY"
    image_pull_secret: _SecretName | None = None
    verification_key: FreeText = ""
    plugin_config: JsonObject = {}
    plugin_name: _PluginName | None = None
    phase: PluginPhase = "UNSPECIFIED_PHASE"
    priority: Int32 | None = None
    fail_strategy: FailStrategy = "FAIL_CLOSE"
    vm_config: VmConfig | None = None
    match: list[TrafficSelector] = []
    type_: PluginType = field(default="UNSPECIFIED_PLUGIN_TYPE", name="type")


class WasmConfig(Spec, frozen=True):
    """A module of WebAssembly."""

    url: NonEmpty
    sha256: _Sha256 = ""
    image_pull_policy: PullPolicy = "UNSPECIFIED_POLICY"
    image_pull_secret: _SecretName | None = None
    verification_key: FreeText = ""
    plugin_config: JsonObject = {}
    plugin_name: _PluginName | None = None
    fail_strategy: FailStrategy = "FAIL_CLOSE"
    vm_config: VmConfig | None = None
    type_: PluginType = field(default="UNSPECIFIED_PLUGIN_TYPE", name="type")


class LuaConfig(Spec, frozen=True):
    """A script in Lua, as Envoy's filter of that name runs it."""

    inline_code: Annotated[FreeText, Meta(min_length=1, max_length=65536)]


class TrafficExtension(Spec, frozen=True):
    """A filter for the HTTP traffic of some pods, at a phase of the chain: `wasm` or `lua`."""

    selector: WorkloadSelector | None = None
    target_refs: TargetReferences = []
    phase: ExecutionPhase = "UNSPECIFIED"
    priority: Int32 | None = None
    match: list[TrafficSelector] = []
    wasm: WasmConfig | None = None
    lua: LuaConfig | None = None
