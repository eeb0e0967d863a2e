"""What is in a prefix without an owner, and belongs there: Portage's own records, caches that programs keep, configuration.

A path that matches nothing here and that no CONTENTS names is a finding. Each entry says who makes it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

# What Portage gives way to a person's changes in, and what below it is generated all the same (make.globals).
PROTECTED = ("etc",)
UNPROTECTED = ("etc/env.d", "etc/gconf", "etc/sandbox.d", "etc/texmf/web2c", "etc/terminfo")


class Expected(NamedTuple):
    """A path of which no package is the owner: a glob, ``**`` for any depth; ``maker`` is who puts it there."""

    glob: str
    maker: str


EXPECTED: Sequence[Expected] = (
    Expected("etc/**", "configuration: portage_config, env-update, whoever administers the layer"),
    Expected("var/db/pkg/**", "Portage: the package database"),
    Expected("var/db/repos/**", "Portage: ebuild repositories"),
    Expected("var/cache/**", "Portage and others: caches"),
    Expected("var/lib/portage/**", "Portage: the world file, preserved libraries, configuration memory"),
    Expected("var/lib/gentoo/**", "Portage: news"),
    Expected("var/log/**", "logs"),
    Expected("var/tmp/**", "temporary files"),
    Expected("tmp/**", "temporary files"),
    Expected("run/**", "Portage: its progress, while it runs"),
    Expected("share/portage/config/**", "portage_config: make.globals for a Portage that is a Python module"),
    Expected("usr/share/compatlayer/**", "provenance"),
    Expected("**/__pycache__/*.pyc", "Python: compiled modules"),
    Expected("usr/lib*/locale/locale-archive", "locale-gen"),
    Expected("usr/lib*/locale/*/LC_*", "locales: what localedef compiles"),
    Expected("usr/lib*/locale/*/LC_MESSAGES/SYS_LC_MESSAGES", "locales: what localedef compiles"),
    Expected("usr/lib*/gconv/gconv-modules.cache", "iconvconfig"),
    Expected("usr/lib*/gio/modules/giomodule.cache", "gio-querymodules"),
    Expected("usr/lib*/gdk-pixbuf-2.0/*/loaders.cache", "gdk-pixbuf-query-loaders"),
    Expected("usr/share/glib-2.0/schemas/gschemas.compiled", "glib-compile-schemas"),
    Expected("usr/share/icons/*/icon-theme.cache", "gtk-update-icon-cache"),
    Expected("usr/share/mime/**", "update-mime-database"),
    Expected("usr/share/applications/mimeinfo.cache", "update-desktop-database"),
    Expected("usr/share/info/dir", "install-info"),
    Expected("usr/share/man/**/whatis", "makewhatis"),
    Expected("usr/share/man/**/index.db", "mandb"),
    Expected("usr/share/fonts/**/fonts.dir", "mkfontdir"),
    Expected("usr/share/fonts/**/fonts.scale", "mkfontscale"),
    Expected("usr/lib*/perl5/**/perllocal.pod", "Perl: what was installed into it"),
    Expected("**/.cvmfscatalog", "CernVM-FS: the root of a nested catalog"),
    Expected(".cvmfsdirtab", "CernVM-FS: where nested catalogs begin"),
    Expected(".provisioned", "Gentoo's bootstrap"),
    Expected("startprefix", "Gentoo's bootstrap"),
)
# A new version of a protected file, waiting for somebody to look at it (etc-update(1)).
PENDING = re.compile(r"(?:^|/)\._cfg\d{4}_[^/]+\Z")


class ExpectedPaths:
    """``EXPECTED``, and what a declaration adds, as questions about tree paths."""

    def __init__(self, more: Iterable[str] = ()) -> None:
        globs = [one.glob for one in EXPECTED]
        self._paths = frozenset(more)
        self._files = re.compile("|".join(f"(?:{pattern(glob)})" for glob in globs) + r"\Z", re.DOTALL)
        self._trees = tuple(f"{glob[:-2]}" for glob in globs if glob.endswith("/**") and not set(glob[:-3]) & set("*?["))

    def __contains__(self, path: object) -> bool:
        """Whether a file, link or directory is one of them."""
        return isinstance(path, str) and (path in self._paths or self._files.match(path) is not None)

    def holds_all(self, directory: str) -> bool:
        """Whether everything below a directory is expected, whatever it is called."""
        return f"{directory}/".startswith(self._trees)


def pattern(glob: str) -> str:
    """The regular expression of a glob in which ``*`` stays within a name and ``**`` is any path."""
    out = []
    for part in re.split(r"(\*\*/|\*\*|\*)", glob):
        match part:
            case "**/":
                out.append(r"(?:.*/)?")
            case "**":
                out.append(r".*")
            case "*":
                out.append(r"[^/]*")
            case _:
                out.append(re.escape(part))
    return "".join(out)
