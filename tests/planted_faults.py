"""One planted fault for each kind of finding that looks at files: ``tests/unit/verify/test_every_finding_has_a_fault.py`` plants
each in a sound prefix and sees it found. A new kind of finding has its fault here.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

from compatlayer.declaration import policy_file
from compatlayer.declaration.model import EngineName, HostLink
from compatlayer.tree.manifest import Manifest
from compatlayer.verify import catalog
from compatlayer.verify.reading import reading
from compatlayer.verify.reading.walk import Listing, Problem
from tests import linkage_faults, loader_faults
from tests.elf_files import put
from tests.tiny_prefix import HOME, Link, Program, TinyPrefix

Plant = Callable[[TinyPrefix], None]
PLANTED: dict[str, Plant] = {}
# Faults that only a user who is not root can have: root may read everything.
NOT_AS_ROOT = {"file-unreadable"}
NOBODY = 65534


def fault(identifier: str) -> Callable[[Plant], Plant]:
    """Say which finding a fault is to produce."""

    def plant(function: Plant) -> Plant:
        assert identifier not in PLANTED, identifier
        PLANTED[identifier] = function
        return function

    return plant


DATA = "usr/share/tool/data"


@fault("file-missing")
def _(prefix: TinyPrefix) -> None:
    (prefix.tree / "usr/share/tool/a name with  spaces").unlink()


@fault("file-wrong-type")
def _(prefix: TinyPrefix) -> None:
    (prefix.tree / DATA).unlink()
    (prefix.tree / DATA).mkdir()


@fault("file-changed")
def _(prefix: TinyPrefix) -> None:
    prefix.change(DATA, b"DATA of the tool\n")


@fault("link-changed")
def _(prefix: TinyPrefix) -> None:
    (prefix.tree / "usr/bin/sh").unlink()
    (prefix.tree / "usr/bin/sh").symlink_to("tool")


@fault("files-touched")
def _(prefix: TinyPrefix) -> None:
    os.utime(prefix.tree / DATA, (1_790_000_000, 1_790_000_000))


@fault("configuration-changed")
def _(prefix: TinyPrefix) -> None:
    prefix.change("etc/tool.conf", b"setting = 2\n")


@fault("configuration-pending")
def _(prefix: TinyPrefix) -> None:
    (prefix.tree / "etc/._cfg0000_tool.conf").write_text("setting = 3\n")


@fault("file-unreadable")
def _(prefix: TinyPrefix) -> None:
    (prefix.tree / DATA).chmod(0)


@fault("file-unstable")
def _(prefix: TinyPrefix) -> None:
    walk = reading.walk

    def walk_then_remove(tree: Path, problems: list[Problem]) -> Iterator[Listing]:
        """Somebody removes a file between its being listed and its being read."""
        for listing in walk(tree, problems):
            if listing.path == "usr/share/tool":
                (prefix.tree / DATA).unlink()
            yield listing

    prefix.patch(reading, "walk", walk_then_remove)


@fault("files-unowned")
def _(prefix: TinyPrefix) -> None:
    (prefix.tree / "usr/share/stray").write_text("by hand\n")


@fault("file-collision")
def _(prefix: TinyPrefix) -> None:
    prefix.package("app-misc/rival-1", {DATA: b"data of the tool\n"})


@fault("contents-damaged")
def _(prefix: TinyPrefix) -> None:
    contents = prefix.tree / "var/db/pkg/app-misc/tool-1.9/CONTENTS"
    contents.write_bytes(contents.read_bytes()[:-9])


@fault("directory-unread")
def _(prefix: TinyPrefix) -> None:
    deep = prefix.tree / "var/cache"
    holder = os.open(deep, os.O_RDONLY)
    for _number in range(260):
        os.mkdir("d", dir_fd=holder)
        below = os.open("d", os.O_RDONLY, dir_fd=holder)
        os.close(holder)
        holder = below
    os.close(holder)


@fault("mode-changed")
def _(prefix: TinyPrefix) -> None:
    prefix.settings["manifest"] = Manifest.of_tree(prefix.tree)
    (prefix.tree / DATA).chmod(0o755)


@fault("manifest-differs")
def _(prefix: TinyPrefix) -> None:
    prefix.settings["manifest"] = Manifest.of_tree(prefix.tree)
    (prefix.tree / "var/cache/anything").write_text("A cache\n")


@fault("package-unreadable")
def _(prefix: TinyPrefix) -> None:
    (prefix.tree / "var/db/pkg/app-misc/tool-1.9/SLOT").unlink()


@fault("package-half-merged")
def _(prefix: TinyPrefix) -> None:
    (prefix.tree / "var/db/pkg/app-misc/-MERGING-tool-1.11").mkdir()


@fault("script-interpreter-missing")
def _(prefix: TinyPrefix) -> None:
    prefix.package("app-misc/script-1", {"usr/bin/script": Program(f"#!{HOME}/usr/bin/python3.11 -I\n".encode())})


@fault("script-interpreter-outside")
def _(prefix: TinyPrefix) -> None:
    prefix.package("app-misc/script-1", {"usr/bin/script": Program(b"#! /bin/sh -e\n")})


@fault("script-interpreter-unusual")
def _(prefix: TinyPrefix) -> None:
    prefix.settings["engine"] = EngineName.GUEST
    prefix.package("app-misc/script-1", {"usr/bin/script": Program(b"#!/usr/local/bin/python3\n")})


@fault("script-interpreter-relative")
def _(prefix: TinyPrefix) -> None:
    prefix.package("app-misc/script-1", {"usr/bin/script": Program(b"#!@PERL@\n")})


@fault("script-line-too-long")
def _(prefix: TinyPrefix) -> None:
    prefix.package("app-misc/script-1", {"usr/bin/script": Program(f"#!{HOME}/usr/bin/bash {'x' * 300}\n".encode())})


@fault("build-path-leaked")
def _(prefix: TinyPrefix) -> None:
    prefix.package("app-misc/leak-1", {"usr/lib64/leak.so": b"\x7f\0\1/compatlayer/build/portage/app-misc/leak-1/work/leak.c\0"})


@fault("link-dangling")
def _(prefix: TinyPrefix) -> None:
    # This path is there on the host that verifies, and not in the prefix.
    prefix.package("app-misc/link-1", {"usr/share/link": Link(f"{HOME}/etc/passwd")})


@fault("link-loop")
def _(prefix: TinyPrefix) -> None:
    prefix.package("app-misc/link-1", {"usr/share/one": Link("two"), "usr/share/two": Link("one")})


@fault("link-outside")
def _(prefix: TinyPrefix) -> None:
    prefix.package("app-misc/link-1", {"usr/share/link": Link("/etc/passwd")})


@fault("link-not-as-declared")
def _(prefix: TinyPrefix) -> None:
    prefix.settings["host_links"] = (HostLink(PurePosixPath("/etc/hosts")),)
    (prefix.tree / "etc/hosts").symlink_to("/etc/elsewhere")


@fault("link-variant")
def _(prefix: TinyPrefix) -> None:
    (prefix.tree / "etc/hosts").symlink_to("$(EXAMPLE_HOSTS)")


@fault("mode-unreadable")
def _(prefix: TinyPrefix) -> None:
    (prefix.tree / DATA).chmod(0o640)


@fault("mode-setuid")
def _(prefix: TinyPrefix) -> None:
    (prefix.tree / "usr/bin/tool").chmod(0o4755)


@fault("mode-world-writable")
def _(prefix: TinyPrefix) -> None:
    (prefix.tree / "usr/share/tool").chmod(0o777)


@fault("special-file")
def _(prefix: TinyPrefix) -> None:
    os.mkfifo(prefix.tree / "var/cache/pipe")
    with socket.socket(socket.AF_UNIX) as one:
        here = os.open(prefix.tree / "var/cache", os.O_RDONLY)
        one.bind(f"/proc/self/fd/{here}/socket")
        os.close(here)


@fault("name-case-collision")
def _(prefix: TinyPrefix) -> None:
    prefix.package("app-misc/case-1", {"usr/share/tool/DATA": b"loud\n"})


@fault("name-not-utf8")
def _(prefix: TinyPrefix) -> None:
    prefix.package("app-misc/name-1", {"usr/share/na\udceff": b"latin\n"})


@fault("name-control-character")
def _(prefix: TinyPrefix) -> None:
    (prefix.tree / "var/cache/two\nlines").write_text("")


@fault("hard-link-across-packages")
def _(prefix: TinyPrefix) -> None:
    twin = prefix.tree / "usr/share/tool-1.10/data"
    content = twin.read_bytes()
    prefix.package("app-misc/linked-1", {"usr/share/linked": content})
    (prefix.tree / "usr/share/linked").unlink()
    os.link(twin, prefix.tree / "usr/share/linked")


@fault("catalog-too-large")
def _(prefix: TinyPrefix) -> None:
    prefix.patch(catalog, "LIMIT", 10)


@fault("catalog-directory-too-large")
def _(prefix: TinyPrefix) -> None:
    prefix.patch(catalog, "LIMIT", 6)


def _in_a_layer_with_a_c_library(plant: Callable[[Path], object]) -> Plant:
    def planted(prefix: TinyPrefix) -> None:
        plant(linkage_faults.closed_layer(prefix.tree))

    return planted


PLANTED |= {identifier: _in_a_layer_with_a_c_library(plant) for identifier, (plant, _) in linkage_faults.PLANTED.items()}


@fault("library-left-to-host")
def _(prefix: TinyPrefix) -> None:
    prefix.settings["engine"] = EngineName.GUEST
    put(prefix.tree, "usr/bin/fetch", linkage_faults.program("libcurl.so.4", interpreter=linkage_faults.HOST_LOADER))


def _told(plant: Callable[[Path], object]) -> Plant:
    """A layer with a loader of its own and a declared directory for drivers, and something wrong in what the loader is told."""

    def planted(prefix: TinyPrefix) -> None:
        tree = linkage_faults.closed_layer(prefix.tree)
        loader_faults.with_driver_directory(tree)
        prefix.settings["trusted_dirs"] = (loader_faults.DRIVERS,)
        plant(tree)

    return planted


PLANTED |= {identifier: _told(plant) for identifier, (plant, _) in loader_faults.PLANTED.items()}


def _under_a_policy(text: str, plant: Callable[[Path], object]) -> Plant:
    def planted(prefix: TinyPrefix) -> None:
        root = prefix.tree.parent
        (root / "policy.yaml").write_text(text)
        prefix.settings["policy"] = policy_file.load(root)
        plant(prefix.tree)

    return planted


PLANTED |= {
    "policy-privileged-file": _under_a_policy("setuid: []\n", lambda tree: (tree / "usr/bin/tool").chmod(0o4755)),
    "policy-not-in-container": _under_a_policy(
        "apptainer: {}\n", lambda tree: (tree / "etc/certificates").symlink_to("/etc/ssl/certs")
    ),
    "policy-forbidden-file": _under_a_policy(
        'forbid: {files: [{path: "*.la", reason: it breaks linking}]}\n', lambda tree: put(tree, "usr/lib64/x.la", b"")
    ),
    "policy-forbidden-package": _under_a_policy(
        "forbid: {packages: [{name: app-misc/tool, reason: ours is newer}]}\n", lambda tree: None
    ),
    "policy-unused": _under_a_policy("setuid: [{path: usr/bin/su, reason: it was there}]\n", lambda tree: None),
}
