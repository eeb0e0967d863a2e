from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from compatlayer.resources import PACKAGE

CHECKOUT = PACKAGE.parent
SCRIPT = CHECKOUT / "tools/role-docs"


def role_docs(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(SCRIPT), "--root", str(root), *arguments], capture_output=True, text=True, check=False
    )


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of everything that the script reads and writes."""
    for name in ("roles", "playbooks"):
        shutil.copytree(CHECKOUT / name, tmp_path / name)
    (tmp_path / "docs/reference").mkdir(parents=True)
    shutil.copy(CHECKOUT / "docs/reference/roles.md", tmp_path / "docs/reference")
    return tmp_path


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert text.count(old) == 1, f"{path}: the fault cannot be planted"
    path.write_text(text.replace(old, new))


def test_every_role_agrees_with_its_specification_and_its_documentation_is_fresh() -> None:
    checked = role_docs(CHECKOUT, "--check")
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


def test_a_default_that_the_specification_does_not_promise_is_found(checkout: Path) -> None:
    replace(checkout / "roles/host_preflight/defaults/main.yml", "1073741824", "1")
    checked = role_docs(checkout, "--check")
    assert (checked.returncode, checked.stderr) == (
        1,
        "error: roles/host_preflight: host_preflight_free_bytes: the specification promises 1073741824, defaults/main.yml sets 1\n",
    )


def test_a_number_is_not_taken_for_a_truth_value(checkout: Path) -> None:
    replace(checkout / "roles/host_preflight/meta/argument_specs.yml", "default: 1073741824", "default: true")
    replace(checkout / "roles/host_preflight/defaults/main.yml", "1073741824", "1")
    assert "promises True, defaults/main.yml sets 1\n" in role_docs(checkout, "--check").stderr


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        (
            "roles/provenance/defaults/main.yml",
            "provenance_path: usr",
            "provenance_place: usr",
            [
                "provenance_path: neither required nor in defaults/main.yml",
                "provenance_place: in defaults/main.yml, but not in meta/argument_specs.yml",
            ],
        ),
        (
            "roles/provenance/defaults/main.yml",
            "provenance_path:",
            "provenance_prefix: /\nprovenance_path:",
            ["provenance_prefix: required, and yet it has a default"],
        ),
        (
            "roles/provenance/meta/argument_specs.yml",
            "        description: Where the record lies, below the prefix.\n",
            "",
            ["provenance_path: no description"],
        ),
        (
            "roles/provenance/meta/argument_specs.yml",
            "    short_description:",
            "    long_description:",
            ["meta/argument_specs.yml: the entry point main needs short_description and description"],
        ),
    ],
)
def test_every_disagreement_is_named(checkout: Path, file: str, old: str, new: str, said: list[str]) -> None:
    replace(checkout / file, old, new)
    checked = role_docs(checkout, "--check")
    assert checked.returncode == 1
    assert checked.stderr == "".join(f"error: roles/provenance: {line}\n" for line in said)


def test_a_variable_that_does_not_carry_its_roles_name_is_refused(checkout: Path) -> None:
    for name in ("meta/argument_specs.yml", "defaults/main.yml"):
        replace(checkout / "roles/provenance" / name, "provenance_path:", "path:")
    assert role_docs(checkout).stderr == (
        "error: roles/provenance: path: the name of a role's variable begins with the role's: provenance_\n"
    )


def test_a_changed_description_makes_the_documentation_stale_until_it_is_written_again(checkout: Path) -> None:
    replace(
        checkout / "roles/provenance/meta/argument_specs.yml",
        "Where the record lies, below the prefix.",
        "Where it | lies.",
    )
    readme, reference = checkout / "roles/provenance/README.md", checkout / "docs/reference/roles.md"
    before = (readme.read_text(), reference.read_text())
    assert role_docs(checkout, "--check").stderr == (
        "error: roles/provenance/README.md: stale; run tools/role-docs\n"
        "error: docs/reference/roles.md: stale; run tools/role-docs\n"
    )
    assert (readme.read_text(), reference.read_text()) == before
    assert role_docs(checkout).stdout == "wrote roles/provenance/README.md\nwrote docs/reference/roles.md\n"
    row = "| `provenance_path` | str | `usr/share/compatlayer/provenance.json` | Where it \\| lies. |\n"
    assert row in readme.read_text()
    assert row in reference.read_text()
    assert role_docs(checkout, "--check").returncode == 0


def test_what_a_list_of_dictionaries_holds_is_listed_too(checkout: Path) -> None:
    assert "| `overlay_repositories[].name` | str | required |" in (checkout / "roles/overlay/README.md").read_text()


def test_nothing_is_written_while_specifications_and_defaults_disagree(checkout: Path) -> None:
    replace(checkout / "roles/host_preflight/defaults/main.yml", "1073741824", "1")
    (checkout / "docs/reference/roles.md").unlink()
    assert role_docs(checkout).returncode == 1
    assert not (checkout / "docs/reference/roles.md").exists()
