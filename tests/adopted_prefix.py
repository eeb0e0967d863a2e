"""A Gentoo Prefix for tests: real Portage inside it, run by a Python of its own, with an ebuild repository under git."""

from __future__ import annotations

import grp
import os
import pwd
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import dataclass, field
from pathlib import Path

from compatlayer.cli.context import this_machine
from compatlayer.declaration.model import TARGETS
from tests.ebuild_repository import TinyRepository, make_conf
from tests.git_server import commit, git

TARGET = TARGETS[this_machine()]

# Portage as a package: what lies in the prefix already becomes its files, and its scripts start with programs of the prefix.
PORTAGE = r"""
S=${WORKDIR}

src_install() {
	cp -a "${EPREFIX}"/{bin,gnu,lib,share,pyvenv.cfg} "${ED}" || die
	ln -s /usr/bin/bash "${ED}/bin/bash" || die
	grep -rlIE '^#!.*\b(bash|python)' "${ED}" | xargs sed -i -E \
		-e "1s|^#!.*bash|#!${EPREFIX}/bin/bash|" -e "1s|^#!.*python[0-9.]*|#!${EPREFIX}/bin/python3|" || die
	# A comment of Portage's own that looks like a place where something was built.
	sed -i 's|/var/tmp/portage/|/tmp/|' $(grep -rlI /var/tmp/portage/ "${ED}") || die
}
"""
# What the prefix takes from the host, as its owner declares it.
HOST_LINKS = ("bin/bash", "bin/python3", "gnu/gtar")


@dataclass
class AdoptedPrefix:
    """A prefix at ``path``. Portage finds it by itself: it is where its Python is, as with a Portage that Gentoo installs."""

    path: Path
    upstream: TinyRepository = field(init=False)

    def __post_init__(self) -> None:
        self.upstream = TinyRepository(self.path.parent / "upstream/gentoo", "gentoo", arches=(TARGET.keyword,))
        self._install_python()
        self._install_portage()

    @property
    def python(self) -> Path:
        return self.path / "bin/python3"

    @property
    def repository(self) -> Path:
        return self.path / "var/db/repos/gentoo"

    def begin(self, *, settings: str = "") -> str:
        """Commit the upstream repository, clone it into the prefix, write etc/portage; the commit."""
        revision = commit(self.upstream.path)
        self.repository.parent.mkdir(parents=True)
        git(self.repository.parent, "clone", "--quiet", f"file://{self.upstream.path}", "gentoo")
        self.write(
            "etc/portage/repos.conf/gentoo.conf", f"[DEFAULT]\nmain-repo = gentoo\n\n[gentoo]\nlocation = {self.repository}\n"
        )
        self.write("etc/portage/make.conf", make_conf(self.path, settings).decode())
        (self.path / "etc/portage/make.profile").symlink_to(self.repository / "profiles" / TARGET.keyword)
        (self.path / "var/db/pkg").mkdir(parents=True)
        return revision

    def own_everything(self) -> None:
        """Make Portage a package of the prefix, as in one that Gentoo's bootstrap has made, and let everybody read its logs."""
        self.upstream.ebuild("sys-apps/portage-3", phases=PORTAGE)
        commit(self.upstream.path)
        git(self.repository, "pull", "--quiet")
        self.emerge("sys-apps/portage")
        for path in (self.path / "var/log").rglob("*"):
            path.chmod(0o755 if path.is_dir() else 0o644)

    def host_links(self) -> list[dict[str, str]]:
        """The declaration of what leads to the host."""
        return [{"path": f"/{name}", "target": str((self.path / name).readlink())} for name in HOST_LINKS]

    def write(self, name: str, text: str) -> Path:
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def emerge(self, *arguments: str) -> str:
        """Run the prefix's own emerge; a failure fails the test with its words."""
        user, group = pwd.getpwuid(os.getuid()).pw_name, grp.getgrgid(os.getgid()).gr_name
        environment = {
            "PATH": f"{self.path}/bin:{self.path}/gnu:/usr/bin:/bin",
            "HOME": str(self.path),
            "LC_ALL": "C.UTF-8",
            "PYTHONDONTWRITEBYTECODE": "1",
            "PORTAGE_USERNAME": user,
            "PORTAGE_GRPNAME": group,
            "PORTAGE_INST_UID": str(os.getuid()),
            "PORTAGE_INST_GID": str(os.getgid()),
            "FEATURES": "-sandbox -usersandbox -userpriv -userfetch -ipc-sandbox -mount-sandbox -network-sandbox -pid-sandbox -news",
        }
        done = subprocess.run(
            [self.python, self.path / "bin/emerge", "--color=n", *arguments],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def snapshot(self) -> dict[str, tuple[int, int]]:
        """Everything in the prefix by path, with size and time: to see that nothing was touched."""
        found = {}
        for path in self.path.rglob("*"):
            status = path.lstat()
            found[path.relative_to(self.path).as_posix()] = (status.st_size, status.st_mtime_ns)
        return found

    def _install_python(self) -> None:
        base = Path(sys.base_prefix) / "bin" / f"python3.{sys.version_info.minor}"
        (self.path / "bin").mkdir(parents=True)
        self.python.symlink_to(base)
        self.write("pyvenv.cfg", f"home = {base.parent}\ninclude-system-site-packages = false\n")
        (self.path / "gnu").mkdir()
        (self.path / "gnu/gtar").symlink_to(str(shutil.which("tar")))

    def _install_portage(self) -> None:
        """Copy the Portage of this environment, as its wheel lays it out."""
        own, packages = Path(sys.prefix), Path(sysconfig.get_path("purelib"))
        place = self.path / packages.relative_to(own)
        place.mkdir(parents=True)
        for name in ("portage", "_emerge"):
            shutil.copytree(packages / name, place / name, ignore=shutil.ignore_patterns("__pycache__"))
        for name in ("lib/portage", "share/portage"):
            shutil.copytree(own / name, self.path / name, symlinks=True, ignore=shutil.ignore_patterns("doc", "__pycache__"))
        # The stock file names a repository of its own.
        (self.path / "share/portage/config/repos.conf").write_text("")
        for name in ("emerge", "egencache", "portageq"):
            shutil.copy(own / "bin" / name, self.path / "bin" / name)
