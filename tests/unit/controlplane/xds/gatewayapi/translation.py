"""A VirtualService's rules in the words of HTTPRoute, as far as both can say the same: for tests that hold for both."""

from __future__ import annotations

from typing import Any

Object = dict[str, Any]

_RETRIED = "connect-failure,refused-stream,unavailable,cancelled,reset"
"""What a request is always tried again after, where an HTTPRoute asks for retries."""


def http_rule(rule: Object) -> Object:
    """One rule of `spec.http` as one of an HTTPRoute."""
    made: Object = {"matches": [_match(each) for each in rule.get("match", ())] or [{}]}
    made["backendRefs"] = [_backend(share) for share in rule.get("route", ())]
    made["filters"] = [*_headers(rule.get("headers", {})), *_others(rule)]
    timeouts = {"request": rule.get("timeout"), "backendRequest": rule.get("retries", {}).get("perTryTimeout")}
    made["timeouts"] = {field: value for field, value in timeouts.items() if value}
    if "retries" in rule:
        made["retry"] = _retry(rule["retries"])
    return {field: value for field, value in made.items() if value}


def _match(match: Object) -> Object:
    made: Object = {}
    if "uri" in match:
        ((kind, value),) = match["uri"].items()
        made["path"] = {"type": {"exact": "Exact", "prefix": "PathPrefix", "regex": "RegularExpression"}[kind]}
        made["path"]["value"] = value
    if "method" in match:
        made["method"] = match["method"]["exact"]
    for field in ("headers", "queryParams"):
        if field in match:
            made[field] = [_value(name, condition) for name, condition in match[field].items()]
    return made


def _value(name: str, condition: Object) -> Object:
    ((kind, value),) = condition.items()
    return {"name": name, "type": {"exact": "Exact", "regex": "RegularExpression"}[kind], "value": value}


def _reference(destination: Object) -> Object:
    return {"name": destination["host"], "port": destination["port"]["number"]}


def _backend(share: Object) -> Object:
    filters = _headers(share.get("headers", {}))
    made = {**_reference(share["destination"]), **({"filters": filters} if filters else {})}
    return made if "weight" not in share else {**made, "weight": share["weight"]}


def _headers(headers: Object) -> list[Object]:
    kinds = {"request": "RequestHeaderModifier", "response": "ResponseHeaderModifier"}
    found = []
    for side, operations in headers.items():
        made = {
            verb: names if verb == "remove" else [{"name": name, "value": value} for name, value in names.items()]
            for verb, names in operations.items()
        }
        found.append({"type": kinds[side], f"{side}HeaderModifier": made})
    return found


def _others(rule: Object) -> list[Object]:
    found: list[Object] = []
    if "redirect" in rule:
        found.append({"type": "RequestRedirect", "requestRedirect": _redirect(rule["redirect"])})
    if "rewrite" in rule:
        found.append({"type": "URLRewrite", "urlRewrite": _rewrite(rule["rewrite"])})
    for mirror in rule.get("mirrors", ()):
        share = {"percent": mirror["percentage"]["value"]} if "percentage" in mirror else {}
        made = {"backendRef": _reference(mirror["destination"]), **share}
        found.append({"type": "RequestMirror", "requestMirror": made})
    if "corsPolicy" in rule:
        found.append({"type": "CORS", "cors": _cors(rule["corsPolicy"])})
    return found


def _redirect(redirect: Object) -> Object:
    made = {"statusCode": redirect.get("redirectCode", 301)}
    names = {"authority": "hostname", "scheme": "scheme", "port": "port"}
    made |= {names[field]: value for field, value in redirect.items() if field in names}
    return made


def _rewrite(rewrite: Object) -> Object:
    """An expression for a prefix, or for all of the path, is the other's new prefix or path."""
    made = {"hostname": rewrite["authority"]} if "authority" in rewrite else {}
    if "uriRegexRewrite" not in rewrite:
        return made
    expression = rewrite["uriRegexRewrite"]
    if expression["match"] == "^.*$":
        return {**made, "path": {"type": "ReplaceFullPath", "replaceFullPath": expression["rewrite"]}}
    return {**made, "path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": expression["rewrite"]}}


def _cors(policy: Object) -> Object:
    return {
        "allowOrigins": [origin["exact"] for origin in policy["allowOrigins"]],
        "allowMethods": policy.get("allowMethods", []),
        "allowHeaders": policy.get("allowHeaders", []),
        "exposeHeaders": policy.get("exposeHeaders", []),
        "allowCredentials": policy.get("allowCredentials", False),
        "maxAge": int(policy["maxAge"].removesuffix("s")),
    }


def _retry(retries: Object) -> Object:
    conditions = retries.get("retryOn", _RETRIED).removeprefix(_RETRIED).strip(",")
    made = {"attempts": retries["attempts"], "codes": [int(code) for code in conditions.split(",") if code]}
    return {**made, **({"backoff": retries["backoff"]} if "backoff" in retries else {})}
