"""Images of one's own: what of the host their containers see, and what is refused."""

from __future__ import annotations

import venv
from pathlib import Path
from typing import Any

import pytest

from mesh_lab.clusters.embedded.ownimages import images
from mesh_lab.errors import LabError
from mesh_lab.settings import FILE_NAME, Lab, load


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with a project: a folder `shop` with a virtual environment, and `lab` with the lab's."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    made = tmp_path / "home" / "project"
    (made / "lab").mkdir(parents=True)
    venv.create(made / "shop" / ".venv", symlinks=True)
    return made


def lab_of(project: Path, **fields: str) -> Lab:
    lines = ['[images."me/shop"]', 'command = ["serve"]', *(f'{name} = "{value}"' for name, value in fields.items())]
    (project / "lab" / FILE_NAME).write_text("\n".join(lines), encoding="utf-8")
    return load(project / "lab", {})


def shop(project: Path, **fields: str) -> dict[str, Any]:
    return images(lab_of(project, **fields))["me/shop"]


def test_an_image_without_paths_shows_nothing(project: Path) -> None:
    found = shop(project)
    assert (found["path"], found["python"], found["shown"], found["hidden"]) == ("", "", [], [])


def test_a_folder_is_named_from_the_directory_of_the_file(project: Path) -> None:
    found = shop(project, path="../shop")
    assert (found["path"], found["shown"]) == (str(project / "shop"), [str(project / "shop")])


def test_an_environment_brings_its_interpreter_along_unless_each_container_has_it(project: Path) -> None:
    base = (project / "shop" / ".venv" / "bin" / "python").resolve().parent.parent
    shown = shop(project, python="../shop/.venv")["shown"]
    assert str(project / "shop" / ".venv") in shown
    assert (str(base) in shown) is not base.is_relative_to("/usr")


def test_what_lies_within_what_is_shown_is_not_shown_twice(project: Path) -> None:
    shown = shop(project, path="../shop", python="../shop/.venv")["shown"]
    assert str(project / "shop") in shown
    assert str(project / "shop" / ".venv") not in shown


def test_the_state_of_labs_is_hidden_where_it_is_below(project: Path) -> None:
    (project / "lab" / ".lab-two").mkdir()
    states = [str(project / "lab" / name) for name in (".lab", ".lab-two")]
    assert shop(project, path="..")["hidden"] == states
    assert shop(project, path=".")["hidden"] == states
    assert shop(project, path="../shop")["hidden"] == []


def test_a_link_is_followed_before_it_is_judged(project: Path) -> None:
    (project / "lab" / "everything").symlink_to("/")
    with pytest.raises(LabError, match="/ has more in it than a program"):
        shop(project, path="everything")


def test_what_is_named_by_a_link_is_shown_under_both_names(project: Path) -> None:
    """The scripts of an environment have the name in them under which it was made."""
    (project / "linked").symlink_to(project / "shop")
    found = shop(project, path="../linked", python="../linked/.venv")
    assert (found["path"], found["python"]) == (str(project / "linked"), str(project / "linked" / ".venv"))
    assert {str(project / "linked"), str(project / "shop")} <= set(found["shown"])


def test_an_installation_that_is_named_by_a_link_is_shown_under_both_names(project: Path, tmp_path: Path) -> None:
    """As uv's are: the name of a minor version leads to that of a patch."""
    installed = tmp_path / "home" / "pythons" / "3.12.9"
    (installed / "bin").mkdir(parents=True)
    program = installed / "bin" / "python3"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    named = installed.with_name("3.12")
    named.symlink_to(installed)
    environment = project / "shop" / ".venv"
    (environment / "bin" / "python").unlink()
    (environment / "bin" / "python").symlink_to(named / "bin" / "python3")
    (environment / "pyvenv.cfg").write_text(f"home = {named}/bin\nversion = 3.12.9\n")
    assert {str(named), str(installed)} <= set(shop(project, python="../shop/.venv")["shown"])


@pytest.mark.parametrize(
    ("field", "value", "why"),
    [
        ("path", "/etc", "/etc has more in it than a program"),
        ("path", "/proc/self", "has more in it than a program"),
        ("path", "/", "/ has more in it than a program"),
        ("path", "~", "home has more in it than a program"),
        ("path", "../../..", "has more in it than a program"),
        ("path", "../nowhere", "project/nowhere is not a directory"),
        ("path", "lab.toml", "lab.toml is not a directory"),
        ("path", ".lab", "is not a directory"),
        ("python", "../shop", "project/shop is no virtual environment"),
        ("python", "../nowhere", "project/nowhere is no virtual environment"),
    ],
)
def test_what_cannot_be_shown_is_refused_with_its_line(project: Path, field: str, value: str, why: str) -> None:
    with pytest.raises(LabError) as failure:
        shop(project, **{field: value})
    assert failure.value.exit_code == 2
    assert failure.value.message.startswith(f'{project}/lab/lab.toml:3: images."me/shop".{field}: ')
    assert why in failure.value.message


@pytest.mark.parametrize("inside", [".lab", ".lab/pki", ".lab-two/pki", "keys"])
def test_the_lab_does_not_show_its_own_state_or_a_part_of_it(project: Path, inside: str) -> None:
    for state in (".lab", ".lab-two"):
        (project / "lab" / state / "pki").mkdir(parents=True)
    (project / "lab" / "keys").symlink_to(project / "lab" / ".lab" / "pki")
    with pytest.raises(LabError, match=r"/\.lab(-two)?(/pki)? is the lab's own state"):
        shop(project, path=inside)
