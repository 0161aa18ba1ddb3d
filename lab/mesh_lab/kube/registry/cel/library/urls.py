"""URLs: `url("https://host:80/path?q=1")` and its parts, as Go's `net/url` finds them.

https://kubernetes.io/docs/reference/using-api/cel/#kubernetes-url-library
"""

from __future__ import annotations

import re
from urllib.parse import parse_qs, quote, unquote, urlsplit

from mesh_lab.kube.registry.cel.library.overloads import Opaque, Overload

URL = "kubernetes.URL"
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_ESCAPE = re.compile(r"%(?![0-9a-fA-F]{2})")
_HOST = re.compile(r"(?:[^@/]*@)?(?:\[[0-9A-Fa-f:.%a-z]+\]|[^\[\]:\s<>\"\\^`{|}]*)(?::\d*)?")


def _check(text: str) -> None:
    """Hold a text to what Go's `url.ParseRequestURI` takes: an absolute URL, or a path.

    Raises:
        ValueError: it is none.
    """
    why = problem(text)
    if why:
        raise ValueError(f'URL parse error during conversion from string: parse "{text}": {why}')


def problem(text: str) -> str:
    """What is wrong with a text as an absolute URL or a path; empty when nothing is."""
    if not text:
        return "empty url"
    if _CONTROL.search(text):
        return "net/url: invalid control character in URL"
    if found := _ESCAPE.search(text.partition("?")[0]):
        return f'invalid URL escape "{text[found.start() : found.start() + 3]}"'
    if text.startswith("/") and not text.startswith("//"):
        return ""
    scheme, colon, rest = text.partition(":")
    if not text.startswith("//"):
        if not colon or not re.fullmatch(r"[a-zA-Z][a-zA-Z0-9+.-]*", scheme):
            return "missing protocol scheme" if text.startswith(":") else "invalid URI for request"
        if not rest.startswith("/"):
            return "invalid URI for request"
    authority = re.split(r"[/?]", rest[2:] if colon and rest.startswith("//") else "", maxsplit=1)[0]
    return "" if _HOST.fullmatch(authority) else f'invalid host or port in "{authority}"'


def _url(text: str) -> Opaque:
    _check(text)
    return Opaque(URL, text)


def _is_url(text: str) -> bool:
    return not problem(text)


def _host(url: Opaque) -> str:
    return urlsplit(url.text).netloc.rpartition("@")[2]


def _hostname(url: Opaque) -> str:
    host = _host(url)
    return host[1 : host.index("]")] if host.startswith("[") else host.partition(":")[0]


def _port(url: Opaque) -> str:
    return re.sub(r"^(\[[^\]]*\]|[^:]*):?", "", _host(url))


def _path(url: Opaque) -> str:
    return (
        quote(unquote(urlsplit(url.text).path), safe="/$&+,:;=@!'()*~-._%[]")
        if "%" not in url.text
        else (urlsplit(url.text).path)
    )


def _query(url: Opaque) -> dict[str, list[str]]:
    return parse_qs(urlsplit(url.text).query, keep_blank_values=True)


FUNCTIONS = (
    Overload("url", ("string",), URL, _url, member=False),
    Overload("isURL", ("string",), "bool", _is_url, member=False),
    Overload("getScheme", (URL,), "string", lambda url: urlsplit(url.text).scheme),
    Overload("getHost", (URL,), "string", _host),
    Overload("getHostname", (URL,), "string", _hostname),
    Overload("getPort", (URL,), "string", _port),
    Overload("getEscapedPath", (URL,), "string", _path),
    Overload("getQuery", (URL,), "map(string, list(string))", _query),
)
