"""What a package was built from, as Portage has recorded it."""

from __future__ import annotations

import bz2
from pathlib import Path

import pytest

from compatlayer.gentoo.built_from import source_files


def environment(directory: Path, text: str) -> Path:
    path = directory / "environment.bz2"
    path.write_bytes(bz2.compress(text.encode()))
    return path


@pytest.mark.parametrize(
    ("line", "names"),
    [
        ('declare -x A="one-1.tar.gz two-2.patch"', {"one-1.tar.gz", "two-2.patch"}),
        ('declare -- A="one.tar"', {"one.tar"}),
        ('declare -x A=""', set()),
        ('declare -x A="a\\$b.tar"', {"a$b.tar"}),
    ],
)
def test_the_names_are_those_of_the_variable_a(line: str, names: set[str], tmp_path: Path) -> None:
    rest = 'declare -x ABI="amd64"\ndeclare -x B="x\ndeclare -x A=\\"no.tar\\"\n"\nsrc_unpack ()\n{\n    A="no.tar";\n}\n'
    assert source_files(environment(tmp_path, f"{line}\n{rest}")) == names


def test_an_environment_that_does_not_tell_is_refused(tmp_path: Path) -> None:
    whole = bz2.compress(b'declare -x A="one.tar"\n' * 1000)
    for content in (b"", b"no archive", bz2.compress(b'declare -x ABI="amd64"\n'), whole[: len(whole) // 2]):
        path = tmp_path / "environment.bz2"
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"."):
            source_files(path)
    with pytest.raises(FileNotFoundError):
        source_files(tmp_path / "none")
