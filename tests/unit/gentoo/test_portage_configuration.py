from __future__ import annotations

import os
from pathlib import Path, PurePosixPath

import pytest

from compatlayer.errors import HostError
from compatlayer.gentoo.portage_configuration import (
    GlobalConfig,
    RepositoryLocation,
    config_root_files,
    digest_of,
    read_global_config,
    shell_quoted,
    write_config_root,
)

GLOBAL = GlobalConfig(PurePosixPath("share/portage/config"), {PurePosixPath("make.globals"): b'DISTDIR="/x"\n'})
TREE = RepositoryLocation("gentoo", PurePosixPath("/repos/gentoo"))
OVERLAY = RepositoryLocation("example", PurePosixPath("/repos/example"), ("gentoo",))


def files(**changes: object) -> dict[PurePosixPath, bytes]:
    arguments: dict[str, object] = {
        "repositories": [TREE, OVERLAY],
        "profile": "example:linux/x86_64",
        "etc_portage": {PurePosixPath("make.conf"): b'USE="a"\n'},
    }
    return config_root_files(GLOBAL, **(arguments | changes))  # type: ignore[arg-type]


def test_a_root_holds_what_portage_reads_and_nothing_else() -> None:
    assert {str(path): content.decode() for path, content in files().items()} == {
        "share/portage/config/make.globals": 'DISTDIR="/x"\n',
        "share/portage/config/repos.conf": "",
        "etc/portage/make.conf": 'USE="a"\n',
        "etc/portage/make.profile/parent": "example:linux/x86_64\n",
        "etc/portage/repos.conf": (
            "[DEFAULT]\nmain-repo = gentoo\n\n"
            "[gentoo]\nlocation = /repos/gentoo\npriority = -1000\nauto-sync = no\n\n"
            "[example]\nlocation = /repos/example\npriority = 1\nauto-sync = no\nmasters = gentoo\n"
        ),
    }


def test_assignments_for_programs_without_make_conf_go_behind_make_globals() -> None:
    content = files(make_globals={"DISTDIR": '/a "b" ${EPREFIX}'})[PurePosixPath("share/portage/config/make.globals")]
    assert content.decode() == 'DISTDIR="/x"\n\nDISTDIR="/a \\"b\\" ${EPREFIX}"\n'


@pytest.mark.parametrize("profile", ["linux/x86_64", "example:", "other:linux", ""])
def test_a_profile_of_no_given_repository_is_refused(profile: str) -> None:
    with pytest.raises(ValueError, match="is not 'repository:path'"):
        files(profile=profile)


@pytest.mark.parametrize("name", ["repos.conf", "repos.conf/own.conf", "make.profile/parent"])
def test_what_is_generated_cannot_be_given(name: str) -> None:
    with pytest.raises(ValueError, match=f"etc/portage/{name} is generated, not given"):
        files(etc_portage={PurePosixPath(name): b""})


@pytest.mark.parametrize("name", ["/etc/passwd", "../make.conf", "env/../../x"])
def test_a_file_cannot_leave_etc_portage(name: str) -> None:
    with pytest.raises(ValueError, match="does not lie below etc/portage"):
        files(etc_portage={PurePosixPath(name): b""})


def test_a_root_needs_a_repository() -> None:
    with pytest.raises(ValueError, match="at least one"):
        files(repositories=[])


def test_quoting_keeps_variables_alive_and_nothing_else() -> None:
    assert shell_quoted('a"b\\c`d${E}') == '"a\\"b\\\\c\\`d${E}"'


def test_the_portage_of_this_python_brings_make_globals_and_sets_but_no_repository() -> None:
    found = read_global_config()
    names = {str(path) for path in found.files}
    assert {"make.globals", "sets/portage.conf"} <= names
    assert "repos.conf" not in names
    assert b"PKGDIR=" in found.files[PurePosixPath("make.globals")]


def test_a_python_without_portage_is_a_host_error(tmp_path: Path) -> None:
    with pytest.raises(HostError) as caught:
        read_global_config(tmp_path)
    assert str(caught.value) == (
        f"no Portage is installed below {tmp_path}\n"
        "  neither share/portage/config/make.globals nor usr/share/portage/config/make.globals exists there\n"
        "  hint: run `make` to set up the project's own environment"
    )


def test_writing_a_root_again_touches_nothing(tmp_path: Path) -> None:
    assert write_config_root(tmp_path, files()) is True
    assert (tmp_path / "var/db/pkg").is_dir()
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    assert write_config_root(tmp_path, files()) is False
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_a_changed_root_loses_what_is_no_longer_wanted_and_keeps_what_others_put_there(tmp_path: Path) -> None:
    write_config_root(tmp_path, files(etc_portage={PurePosixPath("package.use"): b"a/b c\n"}))
    (tmp_path / "etc/portage/foreign").write_text("stays")
    assert write_config_root(tmp_path, files()) is True
    assert not (tmp_path / "etc/portage/package.use").exists()
    assert (tmp_path / "etc/portage/make.conf").read_bytes() == b'USE="a"\n'
    assert (tmp_path / "etc/portage/foreign").read_text() == "stays"


def test_a_directory_may_become_a_file_and_a_file_a_directory(tmp_path: Path) -> None:
    as_directory = files(etc_portage={PurePosixPath("package.use/one"): b"1"})
    as_file = files(etc_portage={PurePosixPath("package.use"): b"2"})
    for wanted in (as_directory, as_file, as_directory):
        write_config_root(tmp_path, wanted)
        for path, content in wanted.items():
            assert (tmp_path / path).read_bytes() == content


@pytest.mark.parametrize("stamp", [b"", b"\xff", b"[1]", b'{"digest": 3}'])
def test_a_damaged_stamp_leads_to_writing_again(tmp_path: Path, stamp: bytes) -> None:
    write_config_root(tmp_path, files())
    (tmp_path / "etc/portage/make.conf").unlink()
    (tmp_path / ".compatlayer-files.json").write_bytes(stamp)
    assert write_config_root(tmp_path, files()) is True
    assert (tmp_path / "etc/portage/make.conf").exists()


def test_an_interrupted_write_is_done_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_config_root(tmp_path, files())
    changed = files(etc_portage={PurePosixPath("make.conf"): b"other\n"})
    real = Path.replace

    def full_disk(self: Path, target: os.PathLike[str]) -> Path:
        if Path(target).name == "parent":
            raise OSError("no space left")
        return real(self, target)

    monkeypatch.setattr(Path, "replace", full_disk)
    with pytest.raises(OSError, match="no space"):
        write_config_root(tmp_path, changed)
    monkeypatch.setattr(Path, "replace", real)
    assert write_config_root(tmp_path, changed) is True
    assert (tmp_path / "etc/portage/make.conf").read_bytes() == b"other\n"


def test_the_digest_tells_names_from_contents() -> None:
    assert digest_of({PurePosixPath("a"): b"b"}) != digest_of({PurePosixPath("ab"): b""})
    assert digest_of({PurePosixPath("a"): b"1", PurePosixPath("b"): b"2"}) == digest_of(
        {PurePosixPath("b"): b"2", PurePosixPath("a"): b"1"}
    )
