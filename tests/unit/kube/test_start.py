"""The kube process' first moments."""

from __future__ import annotations

import subprocess
import sys

import pytest

WATCHED = """
import os, ssl, sys

seen = []
read = ssl.SSLContext.load_default_certs
ssl.SSLContext.load_default_certs = lambda self, *use: seen.append(os.environ.get("SSL_CERT_FILE")) or read(self, *use)
from mesh_lab.kube import __main__ as program

program.main([])  # not as it is started: imports all, and ends
print(*seen, "|", os.environ.get("SSL_CERT_FILE"))
"""


@pytest.mark.parametrize("given", ["", "/etc/authorities.pem"])
def test_no_authorities_are_read_before_there_is_use_for_them(given: str) -> None:
    environment = {"PYTHONPATH": ":".join(sys.path)} | ({"SSL_CERT_FILE": given} if given else {})
    run = subprocess.run([sys.executable, "-c", WATCHED], env=environment, capture_output=True, text=True, check=True)
    read, _, after = run.stdout.strip().partition("|")
    assert set(read.split()) == {"/dev/null"}
    assert after.strip() == (given or "None")
