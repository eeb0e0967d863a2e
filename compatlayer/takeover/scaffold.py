"""A layer repository on disk: the files of a new one, and writing them where nothing is.

The overlay's profiles are those of the overlay that travels with this program, cut to the layer's targets; so is the first
package, the one that makes a login shell find the layer. Everything else is in ``templates``.
"""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath

from compatlayer import __version__
from compatlayer.declaration import sets
from compatlayer.declaration.load import FILE_NAME, load
from compatlayer.declaration.model import TARGETS, Layer, Target
from compatlayer.declaration.names import PLAIN_NAME
from compatlayer.errors import UsageError
from compatlayer.resources import resource
from compatlayer.takeover.describe import Entry, NewLayer, NewSet, NewVersion, Source

Files = Mapping[PurePosixPath, bytes]

TEMPLATES = Path(__file__).with_name("templates")
# The first package of a new layer: built without a compiler in a second, and what `compatlayer enter` reads.
FIRST_PACKAGE = "sys-apps/baselayout-prefix"
FIRST_REASON = "login shells must find the layer's programs; this is the layer's etc/profile"
FIRST_VERSION = "2026.11"
# Gentoo's profiles for a prefix, as its bootstrap script chooses them; a layer on Gentoo's tree builds on these.
GENTOO_PROFILES: Mapping[str, str] = {
    "linux-x86_64": "default/linux/amd64/23.0/no-multilib/prefix/kernel-3.2+",
    "linux-aarch64": "default/linux/arm64/23.0/prefix/kernel-3.2+",
    "linux-riscv64": "default/linux/riscv/23.0/rv64/lp64d/prefix/kernel-3.2+",
    "linux-ppc64le": "default/linux/ppc64le/23.0/prefix/kernel-3.2+",
}
_MACOS = {"KERNEL": "Darwin", "ELIBC": "Darwin"}


def fresh_layer(name: str, targets: Sequence[str]) -> NewLayer:
    """A layer with one version, one set, one package and its own overlay."""
    first = NewSet(
        f"{name}-{FIRST_VERSION}",
        (Entry(FIRST_PACKAGE, reason=FIRST_REASON),),
        f"What version {FIRST_VERSION} contains, and why. Dependencies are not listed: Portage resolves them,\n"
        "and `compatlayer plan` says who asked for what.",
    )
    version = NewVersion(
        FIRST_VERSION,
        "guest",
        (first,),
        (Source(repository_name(name), path="overlay"),),
        comment="The host's compiler and C library: minutes instead of hours, and tied to hosts at least as new as this one.",
    )
    return NewLayer(
        name,
        tuple(targets),
        f"/cvmfs/{host_name(name)}.example.org/versions/{{version}}/compat/{{os}}/{{arch}}",
        (version,),
        header="A compatibility layer: `compatlayer check` reads it, README.md says what comes next.",
        prefix_comment="The path compiled into every part, where clients mount production. Choose it before you build.",
    )


def layer_name(directory: Path) -> str:
    """A layer's name from its directory's."""
    found = re.sub(r"[^A-Za-z0-9_.-]+", "-", directory.absolute().name).strip("-._")
    return found if re.fullmatch(PLAIN_NAME, found) else "layer"


def repository_name(name: str) -> str:
    """An ebuild repository's name from a layer's: no dots, and not ending in a version (PMS 3.1.5)."""
    plain = re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-")
    return f"{plain}-overlay" if re.search(r"-[0-9]", plain) or not plain else plain


def host_name(name: str) -> str:
    """A label of a host name from a layer's name."""
    return re.sub(r"[^A-Za-z0-9-]+", "-", name).strip("-").lower() or "layer"


def files_of(
    layer: NewLayer, *, first_package: bool = False, extra: Files | None = None, own_masters: str = ""
) -> dict[PurePosixPath, bytes]:
    """Every file of a new repository, without the rendered sets, by path.

    Each directory that the declaration names as an overlay becomes an ebuild repository without packages (with
    ``first_package``: with the first one); the layer's own has ``own_masters``. ``extra`` files are added, and win.
    """
    files: dict[PurePosixPath, bytes] = {PurePosixPath(FILE_NAME): layer.text().encode()}
    for version in layer.versions:
        for one in version.sets:
            files[one.file] = one.text().encode()
        masters = version.tree.name if version.tree else ""
        for overlay in version.overlays:
            if overlay.path is not None:
                own = overlay.path == "overlay"
                found = overlay_files(
                    overlay.name, layer.targets, masters=own_masters if own else masters, first_package=first_package
                )
                if own and not own_masters and any(one.tree for one in layer.versions):
                    found |= _gentoo_profiles(layer.targets)
                for path, content in found.items():
                    files.setdefault(PurePosixPath(overlay.path) / path, content)
    words = {
        "layer": layer.name,
        "version": layer.versions[0].name,
        "targets": ", ".join(layer.targets),
        "prefix": layer.prefix,
        "set": str(layer.versions[0].sets[0].file),
        "tool": __version__,
    }
    for template, place in _TEMPLATE_PATHS.items():
        files[PurePosixPath(place)] = _template(template, words)
    return files | dict(extra or {})


_TEMPLATE_PATHS = {
    "README.md.in": "README.md",
    "gitignore.in": ".gitignore",
    "workflow.yml.in": ".github/workflows/layer.yml",
    "make.conf.in": "config/common/make.conf",
    "config.md.in": "config/README.md",
    "test_login.py.in": "tests/layer/test_login.py",
}


def write(directory: Path, files: Files) -> Layer:
    """Write a repository into ``directory``, which must be empty or not exist, render its sets, and give the layer back.

    Everything is written beside first and read back; a mistake leaves the directory as it was. Raises ``UsageError`` for a
    directory that holds something, and ``DeclarationError`` for what does not read back.
    """
    made = refuse_used(directory)
    workplace = directory / ".compatlayer-init"
    moved: list[Path] = []
    try:
        workplace.mkdir(parents=True)
        for name, content in files.items():
            target = workplace / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
        sets.write_layer(load(workplace / FILE_NAME))
        for entry in sorted(workplace.iterdir()):
            place = directory / entry.name
            entry.rename(place)
            moved.append(place)
        workplace.rmdir()
    except OSError as error:
        _undo(directory, moved, made)
        raise UsageError(f"{directory} cannot be written: {error.strerror}", hint="name another directory") from error
    except BaseException:
        _undo(directory, moved, made)
        raise
    return load(directory / FILE_NAME)


def overlay_files(
    name: str, targets: Iterable[str], *, masters: str = "", first_package: bool = False
) -> dict[PurePosixPath, bytes]:
    """An ebuild repository without packages, or with the first one, that Portage and pkgcheck accept as it is."""
    ours = resource("overlay")
    known = [TARGETS[one] for one in targets]
    category = FIRST_PACKAGE.partition("/")[0]
    layout = (ours / "metadata/layout.conf").read_text(encoding="utf-8")
    layout = re.sub(r"(?m)^repo-name = .*$", f"repo-name = {name}", layout)
    layout = re.sub(r"(?m)^masters =.*$", f"masters = {masters}".rstrip(), layout)
    if masters:
        layout = re.sub(r"(?m)^# This repository stands alone.*$", "# On top of a tree.", layout)
    files = {
        "metadata/layout.conf": layout,
        "profiles/repo_name": f"{name}\n",
        "profiles/eapi": "8\n",
        "profiles/categories": f"{category}\n" if first_package else "",
        "README.md": _template("overlay.md.in", {"name": name}).decode(),
    }
    if not masters:
        files |= _profiles(ours, known)
        files["licenses/GPL-2"] = (ours / "licenses/GPL-2").read_text(encoding="utf-8")
    if first_package:
        files |= _first_package(ours, {target.keyword for target in known})
    return {PurePosixPath(path): text.encode() for path, text in files.items()}


def _first_package(ours: Path, keywords: set[str]) -> dict[str, str]:
    """The first package as this program's own overlay has it, with what it inherits and the keywords of the layer's targets."""
    category = FIRST_PACKAGE.partition("/")[0]
    files = {
        source.relative_to(ours).as_posix(): source.read_text(encoding="utf-8")
        for source in (ours / FIRST_PACKAGE).rglob("*")
        if source.is_file()
    }
    for path in [path for path in files if path.endswith(".ebuild")]:
        found = re.search(r'(?m)^KEYWORDS="([^"]*)"$', files[path])
        words = {word.lstrip("~"): word for word in found[1].split()} if found else {}
        line = " ".join(words.get(keyword, f"~{keyword}") for keyword in sorted(keywords))
        files[path] = re.sub(r'(?m)^KEYWORDS="[^"]*"$', f'KEYWORDS="{line}"', files[path])
        entry = ours / "metadata/md5-cache" / category / PurePosixPath(path).stem
        if entry.is_file():
            digest = hashlib.md5(files[path].encode(), usedforsecurity=False).hexdigest()
            text = re.sub(r"(?m)^KEYWORDS=.*$", f"KEYWORDS={line}", entry.read_text(encoding="utf-8"))
            files[f"metadata/md5-cache/{category}/{entry.name}"] = re.sub(r"(?m)^_md5_=.*$", f"_md5_={digest}", text)
        for eclass in re.findall(r"(?m)^inherit (.+)$", files[path]):
            files |= {f"eclass/{name}.eclass": (ours / f"eclass/{name}.eclass").read_text("utf-8") for name in eclass.split()}
    files["metadata/pkgcheck.conf"] = _template("pkgcheck.conf.in", {}).decode()
    return files


def _profiles(ours: Path, targets: Sequence[Target]) -> dict[str, str]:
    """The profiles of these targets; those of macOS, which the overlay that travels along does not have, are written here."""
    keywords = {target.keyword for target in targets}
    files = {}
    for path in sorted((ours / "profiles/base").iterdir()):
        files[f"profiles/base/{path.name}"] = path.read_text(encoding="utf-8")
    for name in ("license_groups", "use.desc"):
        files[f"profiles/{name}"] = (ours / "profiles" / name).read_text(encoding="utf-8")
    files["profiles/license_groups"] = "# Licences a published layer may carry without asking anybody.\nFREE GPL-2\n"
    files["profiles/arch.list"] = "".join(f"{keyword}\n" for keyword in sorted(keywords))
    files["profiles/arches.desc"] = "# Format: GLEP 72.\n" + "".join(f"{keyword}\ttesting\n" for keyword in sorted(keywords))
    rows = ["# keyword\tprofile\tstatus\n"]
    for target in targets:
        place = f"profiles/{target.os}/{target.arch}"
        rows.append(f"{target.keyword}\t{target.os}/{target.arch}\tdev\n")
        if (ours / place).is_dir():
            for path in sorted((ours / place).iterdir()):
                files[f"{place}/{path.name}"] = path.read_text(encoding="utf-8")
        else:
            files |= {f"{place}/{name}": text for name, text in _macos_profile(target).items()}
    files["profiles/profiles.desc"] = "".join(rows)
    defaults = files["profiles/base/make.defaults"]
    known = {"ARCH": sorted(keywords), "ELIBC": _values(targets, "glibc"), "KERNEL": _values(targets, "linux")}
    for variable, values in known.items():
        line = f'USE_EXPAND_VALUES_{variable}="{" ".join(values)}"'
        defaults = re.sub(rf'(?m)^USE_EXPAND_VALUES_{variable}="[^"]*"$', line, defaults)
    files["profiles/base/make.defaults"] = defaults
    return files


def _values(targets: Sequence[Target], linux: str) -> list[str]:
    return sorted({linux if target.os == "linux" else "Darwin" for target in targets})


def _macos_profile(target: Target) -> dict[str, str]:
    settings = {"ARCH": target.keyword, "ACCEPT_KEYWORDS": f"{target.keyword} ~{target.keyword}", "CHOST": target.chost, **_MACOS}
    return {
        "eapi": "8\n",
        "parent": "../../base\n",
        "make.defaults": "".join(f'{name}="{value}"\n' for name, value in settings.items()),
    }


def _gentoo_profiles(targets: Iterable[str]) -> dict[PurePosixPath, bytes]:
    """Profiles on top of Gentoo's, for versions that stand on its tree: ``gentoo/OS/ARCH``."""
    files = {}
    for name in targets:
        target, parent = TARGETS[name], GENTOO_PROFILES.get(name)
        if parent is None:
            continue
        place = PurePosixPath("profiles/gentoo", target.os, target.arch)
        files[place / "eapi"] = b"8\n"
        files[place / "parent"] = f"gentoo:{parent}\n".encode()
    return files


def _template(name: str, words: Mapping[str, str]) -> bytes:
    text = (TEMPLATES / name).read_text(encoding="utf-8")
    for word, value in words.items():
        text = text.replace(f"@{word}@", value)
    return text.encode()


def refuse_used(directory: Path) -> bool:
    """Refuse a directory that holds anything but ``.git``; whether it has to be made."""
    if not directory.exists() and not directory.is_symlink():
        return True
    if not directory.is_dir():
        raise UsageError(f"{directory} is not a directory", hint="name a directory that is empty, or that does not exist yet")
    held = sorted(path.name for path in directory.iterdir() if path.name != ".git")
    if held:
        shown = ", ".join(held[:4]) + (f" and {len(held) - 4} more" if len(held) > 4 else "")
        raise UsageError(f"{directory} is not empty", cause=f"it holds {shown}", hint="name a directory that is empty or new")
    return False


def _undo(directory: Path, moved: Iterable[Path], made: bool) -> None:
    """Take away what was written, and the directory if it was not there before."""
    for path in moved:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    shutil.rmtree(directory / ".compatlayer-init", ignore_errors=True)
    if made and directory.is_dir():
        directory.rmdir()
