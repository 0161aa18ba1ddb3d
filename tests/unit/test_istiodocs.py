"""Istio's documentation tests are run as the documentation's own framework runs them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import istiodocs
from tests.istiodocs import MalformedError, parse

PAGE = "tasks/traffic/shifting"
TEST = """\
#!/usr/bin/env bash
set -e
source "tests/util/samples.sh"

# @setup profile=default

say_hello
{body}

# @cleanup
say_bye
"""


@pytest.fixture
def checkouts(tmp_path: Path) -> Path:
    """A checkout of the documentation and of Istio with one page, below `docs` and `istio`."""
    folder = tmp_path / "docs/content/en/docs" / PAGE
    folder.mkdir(parents=True)
    (folder / "snips.sh").write_text('say_hello() { cat samples/hello; }\nsay_bye() { echo "bye $who"; }\n')
    (folder / "test.sh").write_text(TEST.format(body="true"))
    helpers = tmp_path / "docs/tests/util"
    helpers.mkdir(parents=True)
    for name in ("verify", "debug", "helpers"):
        (helpers / f"{name}.sh").touch()
    (helpers / "samples.sh").write_text("who=sample\n")
    for name in istiodocs.FROM_ISTIO:
        (tmp_path / "istio" / name).mkdir(parents=True)
    (tmp_path / "istio/samples/hello").write_text("hello from a sample\n")
    return tmp_path


def _main(checkouts: Path, *paths: str) -> int:
    folders = [f"--docs={checkouts / 'docs'}", f"--istio={checkouts / 'istio'}", f"--logs={checkouts / 'logs'}"]
    return istiodocs.main([*folders, *paths])


def _test_file(checkouts: Path) -> Path:
    return checkouts / "docs/content/en/docs" / PAGE / "test.sh"


def _log(checkouts: Path) -> str:
    return (checkouts / "logs/tasks_traffic_shifting_test.log").read_text()


def test_a_page_passes_with_its_snippets_and_istios_samples(
    checkouts: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _main(checkouts) == 0
    assert "hello from a sample" in _log(checkouts)
    assert "1 of 1 passed" in capsys.readouterr().out


def test_the_cleanup_has_what_the_test_sourced(checkouts: Path) -> None:
    _main(checkouts)
    assert "bye sample" in _log(checkouts).partition("==== cleanup")[2]


def test_a_page_that_fails_is_cleaned_up_and_told(checkouts: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _test_file(checkouts).write_text(TEST.format(body="exit 3"))
    assert _main(checkouts, PAGE) == 1
    assert "bye sample" in _log(checkouts)
    assert "tasks/traffic/shifting/test.sh: FAILED" in capsys.readouterr().out


def test_a_page_that_hangs_is_ended(checkouts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(istiodocs, "LIMIT", 0.3)
    _test_file(checkouts).write_text(TEST.format(body="sleep 60"))
    assert _main(checkouts) == 1
    assert "bye sample" in _log(checkouts)


@pytest.mark.parametrize(("name", "setup"), [("test.sh", "profile=ambient"), ("gtwapi_test.sh", "profile=default")])
def test_a_test_of_another_setup_is_left_out_and_said_to_be(
    checkouts: Path, name: str, setup: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file = _test_file(checkouts)
    file.rename(file.with_name(name)).write_text(TEST.format(body="true").replace("profile=default", setup))
    assert _main(checkouts) == 2
    assert "left out: tasks/traffic/shifting" in capsys.readouterr().out


@pytest.mark.parametrize("text", ["# @setup profile=default\n", "# @cleanup\n", TEST + TEST])
def test_a_test_of_another_form_is_refused(text: str) -> None:
    with pytest.raises(MalformedError, match=r"x/test\.sh: wants one line"):
        parse("x/test.sh", text)


def test_a_checkout_that_is_not_whole_is_wrong_usage(checkouts: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (checkouts / "istio/manifests").rmdir()
    with pytest.raises(SystemExit) as ended:
        _main(checkouts)
    assert ended.value.code == 2
    assert "no such folder" in capsys.readouterr().err
