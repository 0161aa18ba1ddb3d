"""Lua programs on their way into a bootstrap."""

from __future__ import annotations

import json

from mesh_lab.controlplane.injection.bootstrap import ProxySettings, config
from mesh_lab.controlplane.injection.lua import compact
from mesh_lab.controlplane.injection.merging import Target


def test_what_only_readers_need_goes_and_lines_keep_their_numbers() -> None:
    program = 'local A = " -- x"\n-- What it does.\nfunction f()\n    return A -- here\nend\n'
    assert compact(program) == 'local A = " -- x"\n\nfunction f()\nreturn A -- here\nend'


def test_a_bootstrap_carries_no_comments_and_no_indentation() -> None:
    document = json.dumps(config(ProxySettings("sidecar", metrics=(Target(9080, "/metrics"),))))
    assert "envoy_on_response" in document
    assert "\\n-- " not in document
    assert "\\n  " not in document
