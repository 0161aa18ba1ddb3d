"""The fixed answers. Names of fields are those of httpbin, which scripts look for; texts and pictures are our own."""

from __future__ import annotations

import base64

ROBOTS = "User-agent: *\nDisallow: /deny\n"
DENIED = "\n   .--------.\n  /  \\    /  \\\n |   x    x   |\n  \\    __    /\n   '--------'\n YOU SHOULDN'T BE HERE\n"
TEAPOT = r"""
    -=[ teapot ]=-

        .---.
   ____(     )__
   \  /       \ )
    \/         V
     \_________/
"""
SLIDES = {
    "slideshow": {
        "author": "mesh-lab",
        "date": "date of publication",
        "slides": [
            {"title": "What a mesh does", "type": "all"},
            {
                "items": ["It <em>routes</em>.", "It <em>observes</em>.", "It <em>secures</em>."],
                "title": "Three things",
                "type": "all",
            },
        ],
        "title": "Sample Slide Show",
    }
}
XML = """<?xml version='1.0' encoding='us-ascii'?>
<slideshow title="Sample Slide Show" date="Date of publication" author="mesh-lab">
  <slide type="all"><title>What a mesh does</title></slide>
  <slide type="all"><title>Three things</title><item>It <em>routes</em>.</item>
  <item>It <em>observes</em>.</item></slide>
</slideshow>
"""
HTML = """<!DOCTYPE html>
<html><head><meta charset="utf-8"></head><body>
<h1>Herman Melville - Moby-Dick</h1>
<p>Call me Ishmael. Some years ago - never mind how long precisely - having little or no money in my purse, and nothing
particular to interest me on shore, I thought I would sail about a little and see the watery part of the world.</p>
</body></html>
"""
INDEX = """<!DOCTYPE html>
<html><head><meta charset="utf-8"><title>httpbin</title></head><body><h1>httpbin</h1>
<p>A server that tells what it was asked: <a href="/get">/get</a>, <a href="/headers">/headers</a>,
<a href="/ip">/ip</a>, <a href="/status/418">/status/418</a>, <a href="/delay/1">/delay/1</a>,
<a href="/html">/html</a>, <a href="/json">/json</a>.</p>
</body></html>
"""
FORM = """<!DOCTYPE html>
<html><head><meta charset="utf-8"></head><body><form method="post" action="/post">
<p><label>Name: <input name="custname"></label></p><p><label>Comments: <textarea name="comments"></textarea></label></p>
<p><button>Submit</button></p></form></body></html>
"""
UTF8 = """<h1>Unicode</h1>
<pre>Zwölf Boxkämpfer · Ξεσκεπάζω · Съешь же ещё · いろはに · ∮ E·da = Q · ✓ ★ ☂ 😀</pre>
"""

_SVG = (
    '<svg xmlns="http://www.w3.org/2000/svg" width="16" height="16"><rect width="16" height="16" fill="#2563a8"/>'
    '<circle cx="8" cy="8" r="4" fill="#fff"/></svg>\n'
)
_PNG = (
    "iVBORw0KGgoAAAANSUhEUgAAABAAAAAQCAIAAACQkWg2AAAAQElEQVR42mNUTV7BQApgYiAR0F4DC6bQrTnhcLZaykoCNiCrxuSia8CUxhQchKGE"
    "ogEzTDAFmfBLYxrBOAzSEgC58RGB/+eDgwAAAABJRU5ErkJggg=="
)
_WEBP = (
    "UklGRlwAAABXRUJQVlA4IFAAAADwAgCdASoQABAABUB8JbACdGaA2wApwN0Ab7aIYAMmQAD+be33aK5jzxuCGNrBxGdHzEycqkSuw3DQGd7Hvjhv"
    "M5prU4aHdXfA5SyF04oAAA=="
)
_JPEG = (
    "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDACgcHiMeGSgjISMtKygwPGRBPDc3PHtYXUlkkYCZlo+AjIqgtObDoKrarYqMyP/L2u71////m8H////6"
    "/+b9//j/2wBDASstLTw1PHZBQXb4pYyl+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+Pj/wAARCAAQ"
    "ABADASIAAhEBAxEB/8QAFQABAQAAAAAAAAAAAAAAAAAAAAH/xAAZEAEAAgMAAAAAAAAAAAAAAAABAgQAEjH/xAAUAQEAAAAAAAAAAAAAAAAAAAAD"
    "/8QAFxEAAwEAAAAAAAAAAAAAAAAAABEhYf/aAAwDAQACEQMRAD8AlWtKzNB1idcWq0q0wXaLxxVsyrTUNovTFqzKzMU1icMevAoj/9k="
)
# The first is what a client without a wish gets.
IMAGES: dict[str, tuple[str, bytes]] = {
    "png": ("image/png", base64.b64decode(_PNG)),
    "webp": ("image/webp", base64.b64decode(_WEBP)),
    "svg": ("image/svg+xml", _SVG.encode()),
    "jpeg": ("image/jpeg", base64.b64decode(_JPEG)),
}
