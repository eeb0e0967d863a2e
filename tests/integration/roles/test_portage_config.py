from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.roles.bench import Bench, Variables

pytestmark = pytest.mark.integration
TASK = "Portage is configured as declared"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    for name, text in {
        "etc/portage/make.conf": "USE=a\n",
        "etc/portage/patches/fix": "+\n",
        "usr/share/hook": "#!/bin/sh\n",
    }.items():
        path = tmp_path / "source" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (tmp_path / "source/usr/share/hook").chmod(0o755)
    return tmp_path / "source"


def variables(bench: Bench, source: Path, **more: object) -> Variables:
    return {"portage_config_prefix": str(bench.prefix), "portage_config_source": str(source)} | more


def test_files_are_installed_verbatim_with_their_modes_and_strangers_leave(bench: Bench, source: Path) -> None:
    bench.write("etc/portage/package.use/old", "*/* -*\n")
    bench.write("etc/profile", "kept\n")
    first, second = bench.converge("portage_config", variables(bench, source), variables(bench, source))
    assert (first.changed, second.changed) == ([TASK], [])
    assert first.results[1]["written"] == ["etc/portage/make.conf", "etc/portage/patches/fix", "usr/share/hook"]
    assert first.results[1]["removed"] == ["etc/portage/package.use/old"]
    assert {name: text for name, text in bench.files().items() if text != "/"} == {
        "etc/portage/make.conf": "USE=a\n",
        "etc/portage/patches/fix": "+\n",
        "etc/profile": "kept\n",
        "usr/share/hook": "#!/bin/sh\n",
    }
    assert not (bench.prefix / "etc/portage/package.use").exists()
    modes = {name: (bench.prefix / name).stat().st_mode & 0o777 for name in ("etc/portage/make.conf", "usr/share/hook")}
    assert modes == {"etc/portage/make.conf": 0o644, "usr/share/hook": 0o755}


def test_another_exclusive_directory_leaves_etc_portage_to_others(bench: Bench, source: Path) -> None:
    bench.write("etc/portage/own", "a site's\n")
    bench.write("usr/share/stranger", "x\n")
    other = variables(bench, source, portage_config_exclusive=["usr/share"])
    first, second = bench.converge("portage_config", other, other)
    assert (first.changed, second.changed) == ([TASK], [])
    assert (bench.prefix / "etc/portage/own").read_text() == "a site's\n"
    assert not (bench.prefix / "usr/share/stranger").exists()


def test_a_changed_file_and_a_changed_mode_are_put_right(bench: Bench, source: Path) -> None:
    bench.converge("portage_config", variables(bench, source))
    bench.write("etc/portage/make.conf", "USE=b\n")
    (bench.prefix / "usr/share/hook").chmod(0o600)
    (ran,) = bench.converge("portage_config", variables(bench, source))
    assert ran.results[1]["written"] == ["etc/portage/make.conf", "usr/share/hook"]
    assert bench.files()["etc/portage/make.conf"] == "USE=a\n"


def test_check_mode_shows_the_difference_and_writes_nothing(bench: Bench, source: Path) -> None:
    (ran,) = bench.converge("portage_config", variables(bench, source), check_mode=True)
    assert ran.changed == [TASK]
    assert "USE=a" in ran.diffs
    assert bench.files() == {}


def test_a_directory_in_the_place_of_a_file_is_not_removed(bench: Bench, source: Path) -> None:
    bench.write("usr/share/hook/inside", "x\n")
    error = bench.refusal("portage_config", variables(bench, source))
    assert error.fact == f"role portage_config, task '{TASK}' failed"
    assert f"{bench.prefix}/usr/share/hook is a directory, and a file is declared in its place" in str(error.cause)
    assert (bench.prefix / "usr/share/hook/inside").exists()


def test_a_link_in_the_source_is_refused_before_anything_follows_it(bench: Bench, source: Path) -> None:
    (source / "etc/portage/make.conf").unlink()
    (source / "etc/portage/make.conf").symlink_to("/etc/passwd")
    error = bench.refusal("portage_config", variables(bench, source))
    assert error.cause == "etc/portage/make.conf: only regular files can be installed verbatim"
