"""config/ arrives below etc/portage verbatim, common first, and nothing that is not a plain file."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import pytest

from compatlayer.declaration import configuration
from compatlayer.declaration.load import load
from compatlayer.declaration.model import TARGETS
from compatlayer.errors import DeclarationError
from tests.unit.declaration.example import Site

X86 = TARGETS["linux-x86_64"]
ARM = TARGETS["linux-aarch64"]


def contributed(site: Site, target: object = X86) -> dict[str, bytes]:
    files = configuration.portage_files(load(site.file), target)  # type: ignore[arg-type]
    return {str(path): content for path, content in files.items()}


def test_a_layer_without_configuration_contributes_nothing(site: Site) -> None:
    assert contributed(site) == {}


@pytest.mark.parametrize("name", sorted(configuration.MERGED))
def test_a_file_portage_reads_as_a_directory_takes_both_sides(site: Site, name: str) -> None:
    site.write(f"config/common/{name}", b"common \xff\n")
    site.write(f"config/linux-x86_64/{name}", "own\n")
    site.write(f"config/linux-aarch64/{name}", "another's\n")
    assert contributed(site) == {f"{name}/10-common": b"common \xff\n", f"{name}/20-linux-x86_64": b"own\n"}
    assert list(contributed(site, ARM)) == [f"{name}/10-common", f"{name}/20-linux-aarch64"]


@pytest.mark.parametrize("name", sorted(configuration.MERGED_IN_PROFILE))
def test_the_same_holds_below_profile(site: Site, name: str) -> None:
    site.write(f"config/common/profile/{name}", "common\n")
    site.write(f"config/linux-x86_64/profile/{name}", "own\n")
    assert contributed(site) == {f"profile/{name}/10-common": b"common\n", f"profile/{name}/20-linux-x86_64": b"own\n"}


def test_the_files_of_a_directory_are_told_apart_by_where_they_come_from(site: Site) -> None:
    site.write("config/common/package.use/lua", "one\n")
    site.write("config/linux-x86_64/package.use/lua", "two\n")
    site.write("config/linux-x86_64/package.use/deep/er", "three\n")
    site.write("config/common/package.use.x", "not one of Portage's\n")
    assert contributed(site) == {
        "package.use.x": b"not one of Portage's\n",
        "package.use/10-common-lua": b"one\n",
        "package.use/20-linux-x86_64-deep/er": b"three\n",
        "package.use/20-linux-x86_64-lua": b"two\n",
    }


@pytest.mark.parametrize(
    "path", ["bashrc", "env/fast.conf", "patches/sys-cluster/lmod/a.patch", "profile/packages", "package.use.d"]
)
def test_other_files_keep_their_path_and_the_target_s_wins(site: Site, path: str) -> None:
    site.write(f"config/common/{path}", "common\n")
    assert contributed(site) == {path: b"common\n"}
    site.write(f"config/linux-x86_64/{path}", "own\n")
    assert contributed(site) == {path: b"own\n"}
    assert contributed(site, ARM) == {path: b"common\n"}


def test_the_order_and_the_digest_do_not_depend_on_the_order_of_writing(site: Site, tmp_path: Path) -> None:
    names = ["make.conf", "env/b", "env/a", "package.mask", "patches/x"]
    for name in names:
        site.write(f"config/common/{name}", name)
    first = configuration.portage_files(load(site.file), X86)
    assert list(first) == sorted(first)
    for name in reversed(names):
        (site.root / "config/common" / name).unlink()
    for name in reversed(names):
        site.write(f"config/common/{name}", name)
    second = configuration.portage_files(load(site.file), X86)
    assert configuration.digest(first) == configuration.digest(second)
    assert configuration.digest(dict(reversed(list(first.items())))) == configuration.digest(first)


def test_the_digest_changes_with_a_path_a_content_and_where_one_ends() -> None:
    def digest(**files: bytes) -> str:
        return configuration.digest({PurePosixPath(name): content for name, content in files.items()})

    found = [digest(), digest(a=b""), digest(b=b""), digest(a=b"x"), digest(a=b"xb"), digest(a=b"x", b=b""), digest(ax=b"")]
    assert len(set(found)) == len(found)
    assert digest() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def mistakes(site: Site) -> list[str]:
    layer = load(site.file)
    before = site.snapshot()
    with pytest.raises(DeclarationError) as raised:
        configuration.portage_files(layer, X86)
    assert site.snapshot() == before
    return [str(mistake) for mistake in raised.value.mistakes]


def _link(path: Path) -> None:
    path.symlink_to("/etc/passwd")


PASSED_OVER = (
    "would be passed over by Portage\n  hint: rename it, or remove it: it looks like a hidden file or an editor's backup"
)


@pytest.mark.parametrize(
    ("name", "make", "text"),
    [
        (
            "common/make.conf",
            _link,
            "is a symbolic link\n  hint: put the file itself here: the prefix must not depend on this directory",
        ),
        (
            "common/patches",
            lambda path: path.symlink_to("/"),
            "is a symbolic link\n  hint: put the file itself here: the prefix must not depend on this directory",
        ),
        ("linux-x86_64/bashrc", os.mkfifo, "is neither a file nor a directory\n  hint: only files can be installed"),
        ("common/package.use/.hidden", lambda path: path.touch(), PASSED_OVER),
        ("common/make.conf~", lambda path: path.touch(), PASSED_OVER),
        (
            "common/repos.conf",
            lambda path: path.touch(),
            "is generated, not given\n  hint: declare repositories in layer.yaml: tree and overlays",
        ),
        (
            "common/make.profile/parent",
            lambda path: path.touch(),
            "is generated, not given\n  hint: declare the profile in layer.yaml",
        ),
        ("linux-x68_64", lambda path: path.mkdir(), "unknown target 'linux-x68_64'\n  hint: did you mean 'linux-x86_64'?"),
        ("comon", lambda path: path.mkdir(), "unknown target 'comon'\n  hint: did you mean 'common'?"),
        (
            "macos-aarch64",
            lambda path: path.mkdir(),
            "target 'macos-aarch64' is not one of this layer's targets\n  hint: layer.yaml lists: linux-x86_64, linux-aarch64",
        ),
        (
            "make.conf",
            lambda path: path.touch(),
            "is not a directory\n  hint: files belong in config/common or config/<target>",
        ),
        ("linux-x86_64", _link, "is not a directory\n  hint: files belong in config/common or config/<target>"),
    ],
)
def test_what_cannot_be_installed_verbatim_is_a_mistake(site: Site, name: str, make: Callable[[Path], object], text: str) -> None:
    path = site.root / "config" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    make(path)
    assert mistakes(site) == [f"config/{name}: {text}"]


def test_a_name_that_cannot_be_printed_is_a_mistake(site: Site) -> None:
    site.write("config/common/env/x", "")
    (site.root / "config/common/env/x").rename(os.fsdecode(os.fsencode(site.root / "config/common/env") + b"/\xff"))
    assert mistakes(site) == ["config/common/env/\\udcff: has a name that cannot be printed\n  hint: rename it"]


def test_a_file_on_one_side_and_a_directory_on_the_other_is_a_mistake(site: Site) -> None:
    site.write("config/common/patches/a", "a file")
    site.write("config/linux-x86_64/patches/a/b", "below a directory")
    assert mistakes(site) == [
        "config/linux-x86_64/patches/a: is a file in one of config/common and config/linux-x86_64, and a directory in the other\n"
        "  hint: make it the same in both"
    ]


def test_all_mistakes_of_all_targets_come_at_once_and_once_each(site: Site) -> None:
    site.write("config/common/a~", "")
    site.write("config/linux-x86_64/b~", "")
    site.write("config/linux-aarch64/c~", "")
    found = configuration.check(load(site.file))
    assert [mistake.location.file for mistake in found] == [
        "config/common/a~",
        "config/linux-x86_64/b~",
        "config/linux-aarch64/c~",
    ]


def test_a_readme_and_gitkeep_are_no_mistake(site: Site) -> None:
    site.write("config/README.md", "what is what")
    site.write("config/common/.gitkeep", "")
    assert contributed(site) == {}


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every file")
def test_a_file_that_may_not_be_read_is_a_mistake(site: Site) -> None:
    site.write("config/common/make.conf", "x").chmod(0)
    with pytest.raises(DeclarationError) as raised:
        configuration.portage_files(load(site.file), X86)
    assert str(raised.value) == "config/common/make.conf: cannot be read: Permission denied"
