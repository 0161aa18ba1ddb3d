"""Bookinfo's pages: self-contained HTML, for the lab has no outward network."""

from __future__ import annotations

from html import escape
from typing import Any

STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8882; --accent: #2563a8 }
* { box-sizing: border-box }
body { font: 16px/1.55 system-ui, sans-serif; margin: 0 }
header { display: flex; gap: 1rem; align-items: center; justify-content: space-between; flex-wrap: wrap;
  padding: .8rem max(1rem, calc(50vw - 30rem)); border-bottom: 1px solid var(--line); background: var(--soft) }
header strong { letter-spacing: .02em }
main { max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-family: Georgia, serif; font-weight: normal; font-size: 2.2rem; margin: 0 0 .5rem }
h2 { font-size: 1.05rem; margin: 0 0 .8rem; color: var(--accent) }
.columns { display: grid; grid-template-columns: repeat(auto-fit, minmax(19rem, 1fr)); gap: 1.5rem; margin-top: 1.5rem }
section { border: 1px solid var(--line); border-radius: .6rem; padding: 1.1rem 1.3rem }
dl { display: grid; grid-template-columns: auto 1fr; gap: .2rem 1rem; margin: 0 }
dt { opacity: .7 } dd { margin: 0 }
blockquote { margin: 0 0 1.1rem; padding-left: .9rem; border-left: 3px solid var(--line) }
blockquote footer { opacity: .75; font-size: .9rem }
.stars { font-size: 1.25rem; letter-spacing: .1em; text-shadow: 0 0 1px #fff8 }
.error { color: #b3261e }
.served { font-size: .85rem; opacity: .75; border-top: 1px solid var(--line); padding-top: .6rem; margin: 1rem 0 0 }
input, button { font: inherit; padding: .25rem .6rem; border: 1px solid var(--line); border-radius: .35rem }
form { display: flex; gap: .5rem; margin: 0; align-items: center }
"""
# What Istio's instructions, and scripts made after them, look for in the page.
_PRODUCT_PAGE_TITLE = "Simple Bookstore App"
_STAR = '<span class="glyphicon glyphicon-star">★</span>'
FACTS = ("type", "pages", "publisher", "language", "ISBN-10", "ISBN-13")


def index_page() -> str:
    """The first page: where everything is."""
    links = ("/productpage", "/api/v1/products", "/api/v1/products/0", "/api/v1/products/0/reviews")
    items = "".join(f'<li><a href="{link}">{link}</a></li>' for link in links)
    users = (
        '<li><a href="/productpage?u=normal">Normal user</a></li><li><a href="/productpage?u=test">Test user</a></li>'
    )
    text = "Four small services behind one page."
    return _page(_PRODUCT_PAGE_TITLE, "", f"<h1>Bookinfo</h1><p>{text}</p><ul>{users}{items}</ul>")


def product_page(product: dict[str, Any], details: dict[str, Any], reviews: dict[str, Any], user: str) -> str:
    """One book with what the other services gave."""
    body = (
        f"<h1>{escape(str(product['title']))}</h1><p>{escape(str(product['descriptionHtml']))}</p>"
        f'<div class="columns">{_details(details)}{_reviews(reviews)}</div>'
    )
    return _page(_PRODUCT_PAGE_TITLE, _login(user), body)


def _details(details: dict[str, Any]) -> str:
    if "error" in details:
        return _failed("details", str(details["error"]))
    author = f"{details.get('author', '')}, {details.get('year', '')}"
    rows = "".join(f"<dt>{escape(fact)}</dt><dd>{escape(str(details.get(fact, '')))}</dd>" for fact in FACTS)
    return f"<section><h2>Book Details</h2><dl><dt>author</dt><dd>{escape(author)}</dd>{rows}</dl></section>"


def _reviews(reviews: dict[str, Any]) -> str:
    if "error" in reviews:
        return _failed("reviews", str(reviews["error"]))
    quotes = "".join(_review(review) for review in reviews.get("reviews", []))
    pod = escape(str(reviews.get("podname", "")))
    cluster = escape(str(reviews.get("clustername", "null")))
    place = "" if cluster == "null" else f" on cluster <u>{cluster}</u>"
    served = f'<p class="served">Reviews served by: <u>{pod}</u>{place}</p>'
    return f"<section><h2>Book Reviews</h2>{quotes}{served}</section>"


def _review(review: dict[str, Any]) -> str:
    text, who = escape(str(review.get("text", ""))), escape(str(review.get("reviewer", "")))
    return f"<blockquote><p>{text}</p>{_stars(review.get('rating'))}<footer>{who}</footer></blockquote>"


def _stars(rating: dict[str, Any] | None) -> str:
    if not rating:
        return ""
    if "error" in rating:
        return f'<p class="error">{escape(str(rating["error"]))}</p>'
    stars = max(0, min(5, int(rating.get("stars", 0))))
    colour = escape(str(rating.get("color", "black")), quote=True)
    drawn = _STAR * stars + "☆" * (5 - stars)
    return f'<p class="stars text-{colour}-500" style="color:{colour}" aria-label="{stars} of 5 stars">{drawn}</p>'


def _failed(what: str, error: str) -> str:
    return f'<section><h2 class="error">Error fetching product {what}</h2><p>{escape(error)}</p></section>'


def _login(user: str) -> str:
    if user:
        return f'<form action="/logout">{escape(user)} <button>Sign out</button></form>'
    field = '<input name="username" placeholder="any name" aria-label="user name" required maxlength="100">'
    return f'<form action="/login" method="post">{field}<button>Sign in</button></form>'


def _page(title: str, login: str, body: str) -> str:
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width,initial-scale=1"><style>{STYLE}</style></head>'
        f"<body><header><strong>Bookinfo</strong>{login}</header><main>{body}</main></body></html>"
    )
