"""What a container uses, as /proc has it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from mesh_lab.kube.node.usage import of_tree

_BUSY = """
import sys, time
while time.process_time() < 0.2:
    pass
print(flush=True)
sys.stdin.read()
"""
_PARENT = f"""
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", {_BUSY!r}], stdin=subprocess.PIPE)
sys.stdin.readline()
"""


def test_the_time_and_memory_of_children_are_a_container_s() -> None:
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", _PARENT], stdin=pipe, stdout=pipe, text=True) as parent:
        assert parent.stdout is not None
        parent.stdout.readline()  # the child has been busy
        used = of_tree(parent.pid)
        parent.communicate("\n")
    assert used is not None
    assert used.cpu_ns >= 150_000_000
    # Two interpreters of several megabytes each.
    assert used.memory > 8_000_000


def test_a_process_that_is_gone_uses_nothing() -> None:
    done = subprocess.Popen(["true"])
    done.wait()
    assert of_tree(done.pid) is None


def test_a_name_with_parentheses_is_no_field(tmp_path: Path) -> None:
    (tmp_path / "7" / "task" / "7").mkdir(parents=True)
    (tmp_path / "7" / "task" / "7" / "children").write_text("")
    fields = ["0"] * 50
    fields[11:15] = ["1", "2", "3", "4"]
    fields[21] = "5"
    (tmp_path / "7" / "stat").write_text(f"7 (a) b) (c) {' '.join(fields)}")
    used = of_tree(7, tmp_path)
    assert used is not None
    assert used.cpu_ns == 10 * 1_000_000_000 // os.sysconf("SC_CLK_TCK")
    assert used.memory == 5 * os.sysconf("SC_PAGE_SIZE")
