from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.integration.roles.bench import Bench, Variables

SOURCES = Path("/usr/share/i18n")
TASK = "The declared locales are there"
LATIN = "en_US.ISO-8859-1"
NAMES = ["C", "POSIX", LATIN, "de_DE.ISO-8859-15@euro", "C.UTF-8"]
DIRECTORIES = {"en_US.iso88591", "de_DE.iso885915@euro", "C.utf8"}

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(not (SOURCES / "locales/en_US").is_file(), reason="the sources of locales are not installed"),
    pytest.mark.skipif(shutil.which("localedef") is None, reason="localedef is not installed"),
]


def own_library(bench: Bench, program: str = "usr/bin/localedef", sources: str = "usr/share/i18n") -> None:
    """A C library of the prefix's own, as far as the role can tell: the host's localedef, and its sources."""
    bench.link(program, str(shutil.which("localedef")))
    bench.link(sources, SOURCES)


def variables(bench: Bench, *names: str, **more: object) -> Variables:
    return {"locales_prefix": str(bench.prefix), "locales_names": list(names)} | more


def character_set(directory: Path, name: str) -> str:
    """What the C library finds under a locale's name when it looks only in ``directory``."""
    environment = {"PATH": os.environ["PATH"], "LOCPATH": str(directory), "LC_ALL": name}
    return subprocess.run(["locale", "charmap"], env=environment, capture_output=True, text=True, check=True).stdout.strip()


def test_each_locale_is_compiled_once_and_found_by_the_c_library(bench: Bench) -> None:
    own_library(bench)
    first, second = bench.converge("locales", variables(bench, *NAMES), variables(bench, *NAMES))
    assert (first.changed, second.changed) == ([TASK], [])
    directory = bench.prefix / "usr/lib/locale"
    assert {path.name for path in directory.iterdir()} == DIRECTORIES
    assert {name: character_set(directory, name) for name in NAMES[2:]} == {
        LATIN: "ISO-8859-1",
        "de_DE.ISO-8859-15@euro": "ISO-8859-15",
        "C.UTF-8": "UTF-8",
    }


def test_another_layout_of_the_prefix_is_taken(bench: Bench) -> None:
    own_library(bench, "bin/localedef", "lib/i18n")
    other = variables(
        bench,
        LATIN,
        locales_localedef="bin/localedef",
        locales_directory="lib/locale",
        locales_sources="lib/i18n",
    )
    first, second = bench.converge("locales", other, other)
    assert (first.changed, second.changed) == ([TASK], [])
    assert character_set(bench.prefix / "lib/locale", LATIN) == "ISO-8859-1"


def test_what_the_archive_holds_is_not_compiled_again(bench: Bench) -> None:
    own_library(bench)
    (bench.prefix / "usr/lib/locale").mkdir(parents=True)
    subprocess.run(["localedef", "--prefix", str(bench.prefix), "-i", "en_US", "-f", "ISO-8859-1", LATIN], check=True)
    assert [path.name for path in (bench.prefix / "usr/lib/locale").iterdir()] == ["locale-archive"]
    (ran,) = bench.converge("locales", variables(bench, LATIN))
    assert ran.changed == []


def test_what_a_killed_run_has_left_is_done_again(bench: Bench) -> None:
    own_library(bench)
    bench.write("usr/lib/locale/.en_US.iso88591.new/LC_CTYPE", "half a file")
    (ran,) = bench.converge("locales", variables(bench, LATIN))
    assert ran.changed == [TASK]
    assert [path.name for path in (bench.prefix / "usr/lib/locale").iterdir()] == ["en_US.iso88591"]


def test_a_prefix_on_the_hosts_c_library_gets_none_and_the_log_says_so(bench: Bench) -> None:
    (ran,) = bench.converge("locales", variables(bench, LATIN))
    assert (ran.changed, bench.files()) == ([], {})
    assert ran.results[1]["own_library"] is False
    said = (
        f"no locale was compiled: {bench.prefix}/usr/bin/localedef is not there, "
        "so programs use the host's C library and its locales"
    )
    assert said in ran.results[1]["warnings"]


def test_check_mode_names_the_locales_and_compiles_none(bench: Bench) -> None:
    own_library(bench)
    (ran,) = bench.converge("locales", variables(bench, LATIN), check_mode=True)
    assert ran.results[1]["compiled"] == ["en_US.iso88591"]
    assert not (bench.prefix / "usr/lib").exists()


def test_a_locale_without_a_source_is_refused_in_localedefs_words_and_leaves_nothing(bench: Bench) -> None:
    own_library(bench)
    error = bench.refusal("locales", variables(bench, "xx_XX.UTF-8"))
    assert error.fact == f"role locales, task '{TASK}' failed"
    assert str(error.cause).startswith("locale xx_XX.utf8 cannot be compiled: ")
    assert "xx_XX" in str(error.cause).partition(": ")[2]
    assert list((bench.prefix / "usr/lib/locale").iterdir()) == []


def test_a_locale_without_a_character_set_is_refused(bench: Bench) -> None:
    error = bench.refusal("locales", variables(bench, "de_DE"))
    assert error.cause == "'de_DE' names no character set; write it as language_TERRITORY.CHARSET, such as en_US.UTF-8"
