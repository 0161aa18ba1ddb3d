"""Files that tasks load from the internet, as far as the lab has their content.

The public key that signs the tokens of Istio's JWT samples, as its modulus and exponent (RFC 7518, 6.3.1). With the
private key, which Istio publishes, anybody can make such tokens: it protects nothing.
"""

from __future__ import annotations

import json
import re

_KEY = {
    "kty": "RSA",
    "kid": "DHFbpoIUqrY8t2zpA2qXfCmr5VO5ZEr4RzHU_-envvQ",
    "e": "AQAB",
    "n": (
        "xAE7eB6qugXyCAG3yhh7pkDkT65pHymX-P7KfIupjf59vsdo91bSP9C8H07pSAGQO1MV_xFj9VswgsCg4R6otmg5PV2He95lZdHtOcU5DXIg"
        "_pbhLdKXbi66GlVeK6ABZOUW3WYtnNHD-91gVuoeJT_DwtGGcp4ignkgXfkiEm4sw-4sfb4qdt5oLbyVpmW6x9cfa7vs2WTfURiCrBoUqgBo"
        "_-4WTiULmmHSGZHOjzwa8WtrtOQGsAFjIbno85jp6MnGGGZPYZbDAa_b3y5u-YpW7ypZrvD8BgtKVjgtQgZhLAGezMt0ua3DRrWnKqTZ0BJ_"
        "EyxOGuHJrLsn00fnMQ"
    ),
}
_FILES = (
    # Tasks name the file of a branch or tag; it is the same in all.
    (
        "raw.githubusercontent.com",
        re.compile(r"/istio/istio/[^/]+/security/tools/jwt/samples/jwks\.json"),
        json.dumps({"keys": [_KEY]}).encode(),
    ),
)


def find(host: str, path: str) -> bytes | None:
    """Return the content of a file; None of one that the lab does not have."""
    return next((content for name, form, content in _FILES if name == host and form.fullmatch(path)), None)
