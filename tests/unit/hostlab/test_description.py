"""What a synthetic host is, is read with every mistake named; a site's own hosts stand beside the program's."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import pytest

from compatlayer.errors import DeclarationError, UsageError
from compatlayer.hostlab import description
from compatlayer.stage.synthetic import Temporary


def write(root: Path, name: str, text: str) -> Path:
    path = root / description.SITES / f"{name}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_the_programs_own_hosts_can_be_read_and_the_empty_one_comes_first(tmp_path: Path) -> None:
    hosts = description.load(tmp_path)
    assert len(hosts) >= 10
    assert hosts[0] == description.empty()
    assert (hosts[0].files, hosts[0].programs, hosts[0].temporary) == ({}, {}, Temporary.MISSING)
    assert len({host.description for host in hosts}) == len(hosts)


def test_a_host_is_what_its_file_says(tmp_path: Path) -> None:
    file = write(
        tmp_path,
        "ours",
        "description: ours\nfiles: {/etc/motd: hello}\nlinks: {/bin: usr/bin}\nshows: {/opt: [/nowhere, /usr/share]}\n"
        "programs: {/usr/bin/busybox: [sh]}\nenvironment: {LANG: C}\ntmp: read-only\nuser: 7\n",
    )
    host = description.parse(file, tmp_path)
    assert host.name == "ours"
    assert host.files == {PurePosixPath("/etc/motd"): "hello"}
    assert host.links == {PurePosixPath("/bin"): "usr/bin"}
    assert host.shows == {PurePosixPath("/opt"): (PurePosixPath("/nowhere"), PurePosixPath("/usr/share"))}
    assert host.programs == {PurePosixPath("/usr/bin/busybox"): ("sh",)}
    assert (host.environment, host.temporary, host.user) == ({"LANG": "C"}, Temporary.READ_ONLY, 7)


def test_a_sites_host_replaces_one_of_the_same_name(tmp_path: Path) -> None:
    write(tmp_path, "busybox", "description: the site's own\n")
    found = {host.name: host for host in description.load(tmp_path)}
    assert found["busybox"].description == "the site's own"


def test_all_mistakes_of_all_hosts_come_at_once(tmp_path: Path) -> None:
    write(tmp_path, "a", "description: x\nfile: {}\ntmp: readonly\n")
    write(tmp_path, "b", "description: x\nfiles: {etc/motd: hello}\nuser: 0\n")
    write(tmp_path, "c", "files: {}\n")
    with pytest.raises(DeclarationError) as raised:
        description.load(tmp_path)
    said = str(raised.value)
    for part in (
        "tests/hosts/a.yaml:2: file: unknown key 'file'\n  hint: did you mean 'files'?",
        "tests/hosts/a.yaml:3: tmp: unknown kind of /tmp 'readonly'\n  hint: did you mean 'read-only'?",
        "tests/hosts/b.yaml:2: files",
        "'etc/motd' is not an absolute path",
        "tests/hosts/b.yaml:3: user",
        "tests/hosts/c.yaml:1: missing key 'description'",
    ):
        assert part in said, said


def test_hosts_are_chosen_by_name_once_each_and_an_unknown_one_is_named(tmp_path: Path) -> None:
    hosts = description.load(tmp_path)
    assert [host.name for host in description.choose(hosts, ["preload", "empty", "preload"])] == ["preload", "empty"]
    assert description.choose(hosts, []) == hosts
    with pytest.raises(UsageError, match="there is no synthetic host named 'emtpy'") as raised:
        description.choose(hosts, ["emtpy"])
    assert raised.value.hint == "did you mean 'empty'?"
