"""New paths for requests: what a filter makes of the path that a rule has matched, as an expression.

https://gateway-api.sigs.k8s.io/reference/spec/#httppathmodifier
"""

from __future__ import annotations

import re

from mesh_lab.controlplane.model.gatewayapi.httproute import PathMatch, PathModifier
from mesh_lab.controlplane.model.virtualservice import RegexRewrite


def rewrite(modifier: PathModifier, match: PathMatch) -> RegexRewrite:
    r"""What takes the place of the path, or of its matched prefix.

    A prefix is of whole segments and keeps what follows it: `/foo` by `/xyz` makes `/xyz/bar` of `/foo/bar`; by `/` or
    nothing `/bar`, and `/` of `/foo`.
    """
    if modifier.type == "ReplaceFullPath":
        return RegexRewrite(match="^.*$", rewrite=_literal(modifier.replace_full_path or "/"))
    prefix, new = match.value.rstrip("/"), (modifier.replace_prefix_match or "").rstrip("/")
    escaped = re.escape(prefix)
    if not new:
        return RegexRewrite(match=f"^{escaped}/?", rewrite="/")
    if not prefix:
        return RegexRewrite(match="^", rewrite=_literal(new))
    return RegexRewrite(match=f"^{escaped}", rewrite=_literal(new))


def _literal(text: str) -> str:
    return text.replace("\\", "\\\\")
