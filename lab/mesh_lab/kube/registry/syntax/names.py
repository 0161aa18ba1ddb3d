"""Syntax of names, labels and the like: each check returns what is wrong, in the words of a real API server, or "".

https://kubernetes.io/docs/concepts/overview/working-with-objects/names/, RFC 1123, RFC 1035.
"""

from __future__ import annotations

import ipaddress
import re

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_LABEL_1035 = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_NAME_PART = re.compile(r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]")
_ENV_NAME = re.compile(r"[ -<>-~]+")
_CONFIG_KEY = re.compile(r"[-._a-zA-Z0-9]+")
_PORT_NAME = re.compile(r"[-a-z0-9]+")

_LABEL_WORDS = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with "
    "an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
_SUBDOMAIN_WORDS = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and "
    "end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
_LABEL_1035_WORDS = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, "
    "and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is "
    "'[a-z]([-a-z0-9]*[a-z0-9])?')"
)
_NAME_PART_WORDS = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric "
    "character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
    "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)
_LABEL_VALUE_WORDS = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and "
    "end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is "
    "'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
)
_CONFIG_KEY_WORDS = (
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  "
    "or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"
)


def _problem(text: str, pattern: re.Pattern[str], words: str, limit: int) -> str:
    if len(text) > limit:
        return f"must be no more than {limit} characters"
    return "" if pattern.fullmatch(text) else words


def label_problem(text: str) -> str:
    """RFC 1123 label: namespaces, containers, volumes."""
    return _problem(text, _LABEL, _LABEL_WORDS, 63)


def subdomain_problem(text: str) -> str:
    """RFC 1123 subdomain: most objects' names."""
    return _problem(text, _SUBDOMAIN, _SUBDOMAIN_WORDS, 253)


def service_name_problem(text: str) -> str:
    """RFC 1035 label: services."""
    return _problem(text, _LABEL_1035, _LABEL_1035_WORDS, 63)


def path_segment_problem(text: str) -> str:
    """Names that need only fit into a path: roles and their bindings."""
    if text in (".", ".."):
        return f"may not be '{text}'"
    return next((f"may not contain '{mark}'" for mark in "/%" if mark in text), "")


def qualified_name_problem(text: str) -> str:
    """The key of a label, annotation or finalizer: an optional DNS prefix, a slash and a name."""
    prefix, slash, name = text.rpartition("/")
    if slash:
        if not prefix:
            return "prefix part must be non-empty"
        if problem := subdomain_problem(prefix):
            return f"prefix part {problem}"
    if not name:
        return "name part must be non-empty"
    if len(name) > 63:
        return "name part must be no more than 63 characters"
    return "" if _NAME_PART.fullmatch(name) else _NAME_PART_WORDS


def label_value_problem(text: str) -> str:
    """A label's value."""
    if len(text) > 63:
        return "must be no more than 63 characters"
    return "" if not text or _NAME_PART.fullmatch(text) else _LABEL_VALUE_WORDS


def env_name_problem(text: str) -> str:
    """The name of an environment variable (relaxed since Kubernetes 1.34: any printable ASCII but '=')."""
    words = (
        "a valid environment variable name must consist only of printable ASCII characters other than '=' "
        "(e.g. 'MY_NAME', or 'MY.NAME', or 'MyName', regex used for validation is '[ -<>-~]+')"
    )
    return "" if _ENV_NAME.fullmatch(text) else words


def config_key_problem(text: str) -> str:
    """A key of a ConfigMap's or Secret's data, which becomes the name of a file."""
    if text in (".", ".."):
        return f"must not be '{text}'"
    if text.startswith(".."):
        return "must not start with '..'"
    return _problem(text, _CONFIG_KEY, _CONFIG_KEY_WORDS, 253)


def port_name_problem(text: str) -> str:
    """The name of a container's port (RFC 6335)."""
    if len(text) > 15:
        return "must be no more than 15 characters"
    if not _PORT_NAME.fullmatch(text):
        return "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)"
    if not re.search("[a-z]", text):
        return "must contain at least one letter (a-z)"
    if "--" in text:
        return "must not contain consecutive hyphens"
    if text[0] == "-" or text[-1] == "-":
        return "must not begin or end with a hyphen"
    return ""


def is_ip(text: str, version: int = 0) -> bool:
    """Whether the text is an IP address, of one family where `version` is 4 or 6."""
    try:
        return version in (0, ipaddress.ip_address(text).version)
    except ValueError:
        return False
