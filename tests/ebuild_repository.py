"""Tiny ebuild repositories for tests, written in milliseconds, that real Portage accepts without a complaint.

The md5-cache is written along with each ebuild, so that resolving needs no bash; ``cache=False`` leaves it to Portage.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from compatlayer.gentoo.portage_configuration import (
    RepositoryLocation,
    config_root_files,
    read_global_config,
    write_config_root,
)

CHOSTS = {
    "amd64": "x86_64-pc-linux-gnu",
    "arm64": "aarch64-unknown-linux-gnu",
    "riscv": "riscv64-unknown-linux-gnu",
    "ppc64": "powerpc64le-unknown-linux-gnu",
}

# What an installed tiny package consists of: one file that says which version it is.
INSTALL = """
S=${WORKDIR}

src_install() {
	insinto /usr/share/tiny
	newins - "${PN}-${SLOT%/*}" <<< "${PVR}"
}
"""


# A phase function; Portage runs only those that the md5-cache names.
PHASE = re.compile(r"^(?:src|pkg)_(\w+)\(\)", re.MULTILINE)


@dataclass(slots=True)
class TinyRepository:
    """An ebuild repository being written at ``path``."""

    path: Path
    name: str = "tiny"
    masters: Sequence[str] = ()
    arches: Sequence[str] = ("amd64", "arm64")
    _categories: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.write("metadata/layout.conf", layout_conf(self.name, self.masters))
        self.write("profiles/repo_name", f"{self.name}\n")
        self.write("profiles/eapi", "8\n")
        self.write("profiles/arch.list", "".join(f"{arch}\n" for arch in self.arches))
        self.write("profiles/categories", "")
        lines = []
        for arch in self.arches:
            self.write(f"profiles/{arch}/eapi", "8\n")
            self.write(
                f"profiles/{arch}/make.defaults",
                f'ARCH="{arch}"\nACCEPT_KEYWORDS="{arch}"\nCHOST="{CHOSTS[arch]}"\nACCEPT_LICENSE="* -@EULA"\n',
            )
            lines.append(f"{arch} {arch} stable\n")
        self.write("profiles/profiles.desc", "".join(lines))
        self.write("profiles/license_groups", "EULA closed\n")
        for license_name in ("MIT", "closed"):
            self.write(f"licenses/{license_name}", f"{license_name}\n")

    @property
    def location(self) -> RepositoryLocation:
        return RepositoryLocation(self.name, PurePosixPath(self.path))

    def write(self, name: str, text: str) -> Path:
        """Write any file of the repository."""
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def ebuild(
        self,
        cpv: str,
        *,
        slot: str = "0",
        keywords: str | None = None,
        iuse: str = "",
        depend: str = "",
        bdepend: str = "",
        rdepend: str = "",
        pdepend: str = "",
        idepend: str = "",
        licenses: str = "MIT",
        src_uri: str = "",
        restrict: str = "",
        required_use: str = "",
        phases: str = INSTALL,
        distfiles: Mapping[str, bytes] | None = None,
        cache: bool = True,
    ) -> Path:
        """Write ``category/name-version``; ``distfiles`` go into its Manifest."""
        category, _, rest = cpv.partition("/")
        name = package_name(rest)
        metadata = {
            "BDEPEND": bdepend,
            "DEFINED_PHASES": " ".join(sorted(set(PHASE.findall(phases)))) or "-",
            "DEPEND": depend,
            "DESCRIPTION": f"Tiny {name}",
            "EAPI": "8",
            "HOMEPAGE": "https://example.org/",
            "IDEPEND": idepend,
            "IUSE": iuse,
            "KEYWORDS": " ".join(self.arches) if keywords is None else keywords,
            "LICENSE": licenses,
            "PDEPEND": pdepend,
            "RDEPEND": rdepend,
            "REQUIRED_USE": required_use,
            "RESTRICT": restrict,
            "SLOT": slot,
            "SRC_URI": src_uri,
        }
        text = "EAPI=8\n" + "".join(
            f'{key}="{value}"\n' for key, value in metadata.items() if value and key not in ("EAPI", "DEFINED_PHASES")
        )
        path = self.write(f"{category}/{name}/{rest}.ebuild", text + phases)
        if category not in self._categories:
            self._categories.add(category)
            self.write("profiles/categories", "".join(f"{each}\n" for each in sorted(self._categories)))
        if distfiles:
            self.manifest(f"{category}/{name}", distfiles)
        if cache:
            entry = "".join(f"{key}={value}\n" for key, value in sorted(metadata.items()) if value)
            digest = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
            self.write(f"metadata/md5-cache/{cpv}", f"{entry}_md5_={digest}\n")
        return path

    def manifest(self, name: str, distfiles: Mapping[str, bytes]) -> Path:
        """Write a thin Manifest with BLAKE2B and SHA512."""
        lines = []
        for file, content in sorted(distfiles.items()):
            hashes = f"BLAKE2B {hashlib.blake2b(content).hexdigest()} SHA512 {hashlib.sha512(content).hexdigest()}"
            lines.append(f"DIST {file} {len(content)} {hashes}\n")
        return self.write(f"{name}/Manifest", "".join(lines))

    def mask(self, text: str) -> Path:
        """Write ``profiles/package.mask``."""
        return self.write("profiles/package.mask", text)

    def remove(self, cpv: str) -> None:
        """Take an ebuild away."""
        category, _, rest = cpv.partition("/")
        (self.path / category / package_name(rest) / f"{rest}.ebuild").unlink()
        (self.path / "metadata/md5-cache" / cpv).unlink(missing_ok=True)


def layout_conf(name: str, masters: Sequence[str]) -> str:
    """``metadata/layout.conf`` of a modern repository."""
    return (
        f"repo-name = {name}\n"
        f"masters = {' '.join(masters)}\n"
        "profile-formats = portage-2\n"
        "cache-formats = md5-dict\n"
        "thin-manifests = true\n"
        "sign-manifests = false\n"
        "manifest-hashes = BLAKE2B SHA512\n"
        "manifest-required-hashes = BLAKE2B\n"
    )


def package_name(name_and_version: str) -> str:
    """``lua`` of ``lua-5.4.4-r1``; enough for names whose last word before the version holds no digit after a hyphen."""
    words = name_and_version.split("-")
    return "-".join(words[: next(index for index, word in enumerate(words) if index and word[0].isdigit())])


def make_conf(root: Path, extra: str = "") -> bytes:
    """A make.conf that keeps everything below ``root``."""
    places = {
        "DISTDIR": "var/cache/distfiles",
        "PKGDIR": "var/cache/binpkgs",
        "RPMDIR": "var/cache/rpm",
        "PORTAGE_TMPDIR": "var/tmp",
        "EMERGE_LOG_DIR": "var/log",
        "PORTAGE_LOGDIR": "var/log/portage",
    }
    lines = [f'{name}="{root / place}"\n' for name, place in places.items()]
    return "".join([*lines, extra, "\n"]).encode()


def write_root(
    root: Path,
    repositories: Sequence[TinyRepository],
    *,
    arch: str = "amd64",
    extra: str = "",
    files: Mapping[str, str] | None = None,
) -> Path:
    """Write a configuration root for ``arch`` with the first repository's profile; ``files`` go below etc/portage."""
    etc_portage = {PurePosixPath("make.conf"): make_conf(root, extra)}
    etc_portage |= {PurePosixPath(name): text.encode() for name, text in (files or {}).items()}
    wanted = config_root_files(
        read_global_config(),
        repositories=[repository.location for repository in repositories],
        profile=f"{repositories[0].name}:{arch}",
        etc_portage=etc_portage,
    )
    write_config_root(root, wanted)
    return root
