"""What the emerge module makes of Portage's words and of what a killed run has left behind."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from compatlayer import playbook
from compatlayer.resources import resource

BUILD_LOG = """\
>>> Compiling source in /compatlayer/build/portage/app-misc/bad-1/work ...
cc: error: no such thing
 * ERROR: app-misc/bad-1::tiny failed (compile phase):
 *   so much for that
 *\x20
 * Call stack:
 *     ebuild.sh, line 143:  Called src_compile
 * The specific snippet of code:
 *       die 'so much for that'
 *\x20
 * If you need support, post the output of `emerge --info '=app-misc/bad-1::tiny'`,
 * the complete build log and the output of `emerge -pqv '=app-misc/bad-1::tiny'`.
 * The complete build log is located at 'LOG'.
 * For convenience, a symlink to the build log is located at '/compatlayer/build/portage/app-misc/bad-1/temp/build.log'.
 * The ebuild environment file is located at '/compatlayer/build/portage/app-misc/bad-1/temp/environment'.
 * Working directory: '/compatlayer/build/portage/app-misc/bad-1/work'
 * S: '/compatlayer/build/portage/app-misc/bad-1/work'
"""


@pytest.fixture(scope="module")
def emerge() -> ModuleType:
    spec = importlib.util.spec_from_file_location("emerge_module", resource("playbooks") / "library" / "emerge.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_failed_phase_is_told_with_the_builds_last_words_and_without_portages_advice(
    emerge: ModuleType, tmp_path: Path
) -> None:
    log = tmp_path / "app-misc:bad-1:20261120-120000.log"
    text = BUILD_LOG.replace("LOG", str(log))
    log.write_text(text)
    failure = emerge.failure_of(1, text, str(tmp_path / "emerge.out"))
    assert (failure["kind"], failure["package"], failure["phase"], failure["log"]) == (
        "phase",
        "app-misc/bad-1",
        "compile",
        str(log),
    )
    assert failure["last_lines"] == [
        ">>> Compiling source in /compatlayer/build/portage/app-misc/bad-1/work ...",
        "cc: error: no such thing",
        " * ERROR: app-misc/bad-1::tiny failed (compile phase):",
        " *   so much for that",
        " * Call stack:",
        " *     ebuild.sh, line 143:  Called src_compile",
        " * The specific snippet of code:",
        " *       die 'so much for that'",
    ]
    error = playbook.failure("package_set", "The packages", {"failure": failure})
    assert error.fact == "role package_set, task 'The packages': app-misc/bad-1 failed in phase compile"
    assert error.cause is not None
    assert error.cause.endswith(f"\nlog: {log}")


@pytest.mark.parametrize(
    ("text", "returncode", "kind"),
    [
        ("!!! Reason: Failed on BLAKE2B verification\n!!! Couldn't download 'x'. Aborting.\n", 1, "digest"),
        ("!!! Reason: Filesize does not match recorded size\n", 1, "digest"),
        (">>> Verifying ebuild manifests\n!!! Couldn't download 'x'. Aborting.\n", 1, "fetch"),
        ("emerge: there are no ebuilds to satisfy 'a/b'.\n", 1, "unsatisfied"),
        ("- a/b-1::tiny (masked by: package.mask)\n", 1, "masked"),
        ("anything else\n", 1, "other"),
        ("anything else\n", -9, "killed"),
    ],
)
def test_portages_words_tell_the_kinds_of_failure_apart(
    emerge: ModuleType, tmp_path: Path, text: str, returncode: int, kind: str
) -> None:
    failure = emerge.failure_of(returncode, text, str(tmp_path / "emerge.out"))
    assert (failure["kind"], failure["log"]) == (kind, str(tmp_path / "emerge.out"))


def test_only_what_a_killed_run_has_left_is_removed(emerge: ModuleType, tmp_path: Path) -> None:
    kept = ["var/db/pkg/app-misc/one-1/SLOT", "var/db/pkg/app-misc/one-1/-MERGING-is-a-file-name", "run/portage/other"]
    gone = [
        "var/db/.pkg-ebuild.portage_lockfile",
        "var/db/pkg/app-misc/.one:0.portage_lockfile",
        "var/db/pkg/app-misc/-MERGING-two-2/SLOT",
        "run/portage/emerge-7.json",
        "run/portage/emerge-7.sock",
    ]
    for name in (*kept, *gone):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    emerge.remove_leftovers(str(tmp_path))
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()) == sorted(kept)
    emerge.remove_leftovers(str(tmp_path / "empty"))


def test_what_differs_is_said(emerge: ModuleType, tmp_path: Path) -> None:
    entry = tmp_path / "app-misc/one-1"
    wanted = {"cpv": "app-misc/one-1", "slot": "0", "repository": "tiny", "use": ["a"], "iuse": ["a", "b"]}
    assert emerge.difference(str(tmp_path), wanted) == "not installed"
    entry.mkdir(parents=True)
    for name, value in {"SLOT": "0/3", "repository": "tiny", "USE": "a amd64", "IUSE": "+a b"}.items():
        (entry / name).write_text(f"{value}\n")
    assert emerge.difference(str(tmp_path), wanted) == ""
    assert emerge.difference(str(tmp_path), wanted | {"use": ["b"]}) == "USE +b -a"
    assert emerge.difference(str(tmp_path), wanted | {"repository": "other"}) == "from tiny, wanted from other"
    assert emerge.difference(str(tmp_path), wanted | {"slot": "1"}) == "slot 0, wanted 1"
    assert emerge.difference(str(tmp_path), wanted | {"rebuild": "built against x"}) == "built against x"
