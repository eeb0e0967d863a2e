"""Portage's records after a real merge: the same whenever, wherever and in whichever order; and Portage goes on working."""

from __future__ import annotations

import bz2
import json
import os
import subprocess
from pathlib import Path

import pytest

from compatlayer.engine.settings import SOURCE_DATE_EPOCH_S
from tests.integration.roles import portage
from tests.integration.roles.bench import Bench, Variables

pytestmark = [pytest.mark.integration, pytest.mark.real]
TASK = "Portage's records name no time, no place and no run"
INSTALLED = "var/db/pkg/app-misc/{}-1"


def variables(bench: Bench) -> Variables:
    return {
        "portage_records_prefix": str(bench.prefix),
        "portage_records_epoch": SOURCE_DATE_EPOCH_S,
        "portage_records_build_directory": str(bench.directory / "build"),
    }


@pytest.fixture
def merged(bench: Bench) -> Bench:
    repository = portage.prepare(bench)
    for name in ("one", "two"):
        repository.ebuild(
            f"app-misc/{name}-1",
            phases="S=${WORKDIR}\n"
            'src_configure() { export CFLAGS="-ffile-prefix-map=${WORKDIR}=/x"; }\n'
            "src_install() { insinto /usr/share; newins - ${PN} <<< x; dosym ${PN} /usr/share/${PN}.link; }\n",
        )
    emerge(bench, "app-misc/two", "app-misc/one")
    return bench


def emerge(bench: Bench, *arguments: str) -> None:
    (bench.directory / "tools").mkdir(exist_ok=True)
    tar = bench.directory / "tools/gtar"
    if not tar.exists():
        tar.symlink_to("/usr/bin/tar")
    own = {"PORTAGE_TMPDIR": str(bench.directory / "build"), "ANSIBLE_HOME": "/somewhere", "HOME": str(bench.directory)}
    own |= {"PKGDIR": str(bench.directory / "packages"), "DISTDIR": str(bench.directory / "distfiles")}
    for name in ("build", "packages", "distfiles"):
        (bench.directory / name).mkdir(exist_ok=True)
    done = subprocess.run(
        [*portage.program("emerge"), "--oneshot", "--quiet", *arguments],
        env={**portage.environment(bench), **own},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def counters(bench: Bench) -> dict[str, int]:
    return {path.parent.name: int(path.read_text()) for path in (bench.prefix / "var/db/pkg").glob("*/*/COUNTER")}


def records(bench: Bench, name: str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (bench.prefix / INSTALLED.format(name)).iterdir()}


def test_records_are_made_equal_once_and_then_left_alone(merged: Bench) -> None:
    entry = merged.prefix / INSTALLED.format("one")
    saved = bz2.decompress((entry / "environment.bz2").read_bytes())
    assert b"ANSIBLE_HOME" in saved, "the fault is planted"
    assert str(merged.directory / "build").encode() in saved
    first, second = merged.converge("portage_records", variables(merged), variables(merged))
    assert (first.changed, second.changed) == ([TASK], [])
    assert first.results[1]["packages"] == ["app-misc/one-1", "app-misc/two-1"]

    assert (entry / "BUILD_TIME").read_text().strip() == str(SOURCE_DATE_EPOCH_S)
    saved = bz2.decompress((entry / "environment.bz2").read_bytes())
    assert b"ANSIBLE_HOME" not in saved
    assert str(merged.directory).encode() + b"/build" not in saved
    lines = [line for line in (entry / "CONTENTS").read_text().splitlines() if not line.startswith("dir ")]
    assert len(lines) == 2
    assert all(line.endswith(f" {SOURCE_DATE_EPOCH_S}") for line in lines)
    for name in ("one", "one.link"):
        assert int((merged.prefix / "usr/share" / name).lstat().st_mtime) == SOURCE_DATE_EPOCH_S
    found = counters(merged)
    assert len(set(found.values())) == len(found) == 2
    assert max(found.values()) <= int((merged.prefix / "var/cache/edb/counter").read_text())
    # The cache of the entry's values holds: what it says of the directory is so.
    cached = (entry / "metadata").read_text()
    assert f"COUNTER={found['one-1']}\n" in cached
    assert f"#dir_mtime={entry.stat().st_mtime_ns}\n" in cached


def test_records_do_not_depend_on_what_was_merged_before(merged: Bench) -> None:
    merged.converge("portage_records", variables(merged))
    before = records(merged, "one")
    emerge(merged, "app-misc/one")
    assert records(merged, "one") != before
    (ran,) = merged.converge("portage_records", variables(merged))
    assert ran.results[1]["packages"] == ["app-misc/one-1"]
    assert records(merged, "one") == before


def test_portage_replaces_and_removes_packages_all_the_same(merged: Bench) -> None:
    merged.converge("portage_records", variables(merged))
    before = counters(merged)
    emerge(merged, "app-misc/one")
    assert counters(merged)["one-1"] > max(before.values())
    merged.converge("portage_records", variables(merged))
    emerge(merged, "--unmerge", "app-misc/one")
    assert {path.name for path in (merged.prefix / "usr/share").iterdir() if path.name.startswith("one")} == set()


def test_what_somebody_has_changed_keeps_its_time(merged: Bench) -> None:
    file = merged.prefix / "usr/share/one"
    os.utime(file, (1_700_000_000, 1_700_000_000))
    merged.converge("portage_records", variables(merged))
    assert int(file.stat().st_mtime) == 1_700_000_000


def test_a_file_that_a_killed_run_has_left_is_gone_and_half_merges_are_left_to_others(merged: Bench) -> None:
    litter = merged.write("var/db/.portage_records", "half")
    half = merged.write("var/db/pkg/app-misc/-MERGING-half-1/CONTENTS", "obj /x 0 1\n")
    merged.converge("portage_records", variables(merged))
    assert not litter.exists()
    assert half.read_text() == "obj /x 0 1\n"


def test_check_mode_says_what_would_be_done_and_does_nothing(merged: Bench) -> None:
    before = {path: path.read_bytes() for path in Path(merged.prefix).rglob("*") if path.is_file()}
    (ran,) = merged.converge("portage_records", variables(merged), check_mode=True)
    assert json.loads(json.dumps(ran.results[1]["packages"])) == ["app-misc/one-1", "app-misc/two-1"]
    assert {path: path.read_bytes() for path in Path(merged.prefix).rglob("*") if path.is_file()} == before


def test_whether_the_builder_has_automake_is_no_part_of_a_record(merged: Bench) -> None:
    merged.converge("portage_records", variables(merged))
    saved = merged.prefix / INSTALLED.format("one") / "environment.bz2"
    before = saved.read_bytes()
    missing = b'    echo "*** missing command: automake" 1>&2;\n    return 127\n'
    text = bz2.decompress(before)
    assert missing in text
    saved.write_bytes(bz2.compress(text.replace(missing, b'    /usr/bin/automake "$@";\n    return $?\n')))
    merged.converge("portage_records", variables(merged))
    assert saved.read_bytes() == before
