"""What a name may look like: packages and versions (PMS), commits, paths, prefixes, URLs, locales, templates.

Every function takes the text as declared, gives it back, and raises ``WrongNameError`` with a fact and a hint for a
person. Sources: PMS 3.1 "Names" and 3.2 "Version Specifications" (https://projects.gentoo.org/pms/8/pms.html),
gitrevisions(7), locale(7), and CernVM-FS's variant symlinks
(https://cvmfs.readthedocs.io/en/stable/cpt-repo.html#variant-symlinks).
"""

from __future__ import annotations

import difflib
import posixpath
import re
import string
from collections.abc import Callable, Iterable
from urllib.parse import urlsplit

# Linux reads 256 bytes of a script's first line (BINPRM_BUF_SIZE, since 5.1), newline included; what is cut off makes
# the script fail or lose its argument. "#!" and the newline take 3; 200 leave 53 for the interpreter below the prefix
# and its argument: "/usr/lib/python-exec/python3.11/python3 -I" takes 42. Kernels before 5.1 read 128:
# docs/reference/layer.md.
MAX_PREFIX_BYTES = 200

PACKAGE_VERSION = r"[0-9]+(\.[0-9]+)*[a-z]?(_(alpha|beta|pre|rc|p)[0-9]*)*(-r[0-9]+)?"
_CATEGORY = r"[A-Za-z0-9_][A-Za-z0-9+_.-]*"
_PACKAGE = r"[A-Za-z0-9_][A-Za-z0-9+_-]*"
PLAIN_NAME = r"[A-Za-z0-9][A-Za-z0-9_.-]*"
SET_NAME = r"[A-Za-z0-9_][A-Za-z0-9_.+-]*"
COMMIT = r"[0-9a-fA-F]{40}"
SHA256 = r"[0-9a-fA-F]{64}"
# A plain file name: nothing that leaves a directory, hides, or reads as an option or a control code.
FILE_NAME = r"(?![.-])[^/\x00-\x1f\x7f]{1,240}"
HOST = r"[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*"
LOCALE = r"(C|POSIX|[a-z]{2,3}_[A-Z]{2})(\.[A-Za-z0-9-]+)?(@[a-z]+)?"
ADVISORY = r"GLSA-[0-9]{6}-[0-9]{2}"
_ENDS_IN_VERSION = re.compile(rf"(?P<name>.+?)-(?P<version>{PACKAGE_VERSION})")
_PREFIX_CHARACTERS = re.compile(r"[A-Za-z0-9_./-]*")
_VARIANT = re.compile(r"\$\((?P<name>[A-Za-z_][A-Za-z0-9_]*):-(?P<default>[^()$]*)\)")

# What Gentoo's own ebuild repository is called.
GENTOO = "gentoo"

GIT_SCHEMES = ("https", "http", "ssh", "git", "file")
MIRROR_SCHEMES = ("https", "http", "ftp", "file")
SOURCE_SCHEMES = (*MIRROR_SCHEMES, "mirror")
BINARY_SCHEMES = ("https", "http", "file")
PART_FIELDS = ("version", "os", "arch")
TRUSTED_FIELDS = ("prefix", *PART_FIELDS)
PROFILE_FIELDS = ("repo", "os", "arch", "keyword", "version")


class WrongNameError(ValueError):
    """A text that is not what it should be: the fact, and what to do about it."""

    def __init__(self, fact: str, hint: str | None = None) -> None:
        super().__init__(fact)
        self.fact = fact
        self.hint = hint


def closest(word: str, choices: Iterable[str]) -> str | None:
    """The choice that ``word`` was probably meant to be; None when none is close."""
    return next(iter(difflib.get_close_matches(word, list(choices), n=1)), None)


def suggest(word: str, choices: Iterable[str], kind: str) -> str:
    """``did you mean 'x'?`` where one choice is close to ``word``, otherwise all choices: ``known targets: a, b``."""
    known = list(choices)
    close = closest(word, known)
    if close is not None:
        return f"did you mean '{close}'?"
    return f"known {kind}: {', '.join(known)}" if known else f"there are no {kind}"


def matching(pattern: str, what: str, hint: str) -> Callable[[str], str]:
    """A check that a text matches ``pattern`` whole: otherwise "'text' is not <what>"."""
    compiled = re.compile(pattern)

    def check(text: str) -> str:
        if not compiled.fullmatch(text):
            raise WrongNameError(f"'{text}' is not {what}", hint)
        return text

    return check


def one_of(choices: Iterable[str], kind: str, kinds: str) -> Callable[[str], str]:
    """A check that a text is one of ``choices``: otherwise "unknown <kind> 'text'"."""
    known = tuple(choices)

    def check(text: str) -> str:
        if text not in known:
            raise WrongNameError(f"unknown {kind} '{text}'", suggest(text, known, kinds))
        return text

    return check


def package(text: str) -> str:
    """``category/name`` as in PMS 3.1, and nothing more: no operator, version, slot, repository or USE flag."""
    wrong = f"'{text}' is not a package name"
    _refuse_more_than_a_name(text, wrong)
    category, slash, name = text.partition("/")
    if not slash or "/" in name:
        raise WrongNameError(f"{wrong}: expected category/name", "for example sys-cluster/lmod")
    if not re.fullmatch(_CATEGORY, category):
        raise WrongNameError(
            f"{wrong}: '{category}' is not a category", "letters, digits and + _ . - only, not starting with + . -"
        )
    if _ENDS_IN_VERSION.fullmatch(name):
        raise WrongNameError(f"{wrong}: it ends in a version", _version_hint(text))
    if not re.fullmatch(_PACKAGE, name):
        raise WrongNameError(f"{wrong}: '{name}' is not a name", "letters, digits and + _ - only, not starting with + -")
    return text


def _refuse_more_than_a_name(text: str, wrong: str) -> None:
    """Say what an atom has that a name has not, and where it goes instead."""
    if text[:1] in tuple("<>=~!"):
        operator = re.match(r"[<>=~!]+", text)
        assert operator is not None
        raise WrongNameError(f"{wrong}: it starts with the operator '{operator[0]}'", _version_hint(text[operator.end() :]))
    if text.startswith("@"):
        raise WrongNameError(f"{wrong}: it names a set", "list the packages themselves; a version may have several sets")
    if "::" in text:
        name, _, repository_name = text.partition("::")
        raise WrongNameError(f"{wrong}: it names a repository", f"write name: {name} and overlay: {repository_name}")
    if "[" in text:
        raise WrongNameError(f"{wrong}: it names USE flags", "they belong in config/common/package.use")
    if ":" in text:
        raise WrongNameError(
            f"{wrong}: it names a slot",
            "declare a version instead, or mask the other slots in config/common/package.mask",
        )
    if "*" in text:
        raise WrongNameError(f"{wrong}: wildcards are not allowed", "list the packages themselves")


def _version_hint(text: str) -> str:
    found = _ENDS_IN_VERSION.fullmatch(text)
    if found:
        return f'write name: {found["name"]} and version: "{found["version"]}"'
    return f"write name: {text}; a version has its own key"


def package_version(text: str) -> str:
    """A version as in PMS 3.2, revision included; no operator, no wildcard."""
    if re.fullmatch(PACKAGE_VERSION, text):
        return text
    bare = text.lstrip("v=<>~").rstrip("*").rstrip(".")
    hint = (
        f'write "{bare}"' if bare != text and re.fullmatch(PACKAGE_VERSION, bare) else "for example 8.7.59, 1.0_rc2 or 12.0.1-r1"
    )
    raise WrongNameError(f"'{text}' is not a package version", hint)


def repository(text: str) -> str:
    """An ebuild repository's name as in PMS 3.1.5: like a package's, it may not end in a version."""
    if not re.fullmatch(_PACKAGE, text) or _ENDS_IN_VERSION.fullmatch(text):
        raise WrongNameError(
            f"'{text}' is not a repository name",
            "letters, digits, _ and -, not starting with -, not ending in a version",
        )
    return text


def commit(text: str) -> str:
    """A full commit id, given back in lower case. Branches, tags and short ids are refused: they can move."""
    if not re.fullmatch(COMMIT, text):
        found = f"{len(text)} hex digits" if re.fullmatch(r"[0-9a-fA-F]+", text) else f"'{text}'"
        raise WrongNameError(f"a commit is 40 hex digits, found {found}", "git rev-parse REVISION prints them")
    return text.lower()


def git_url(text: str) -> str:
    """Where an ebuild repository is fetched from."""
    if re.fullmatch(r"[A-Za-z0-9_.-]+@[A-Za-z0-9_.-]+:[^/].*", text):
        host, _, path = text.partition(":")
        raise WrongNameError(f"'{text}' is not a URL", f"write ssh://{host}/{path}")
    return _url(text, GIT_SCHEMES)


def mirror_url(text: str) -> str:
    """Where distfiles are fetched from."""
    return _url(text, MIRROR_SCHEMES)


def source_url(text: str) -> str:
    """Where one file is fetched from: a URL, or ``mirror://NAME/PATH``."""
    _url(text, SOURCE_SCHEMES)
    if text.endswith("/"):
        raise WrongNameError(f"'{text}' names a directory", "name the file itself")
    return text


def script_url(text: str) -> str:
    """Where a pinned script is fetched from; ``{commit}`` stands for its commit."""
    return source_url(template(text, ("commit",)))


def sha256(text: str) -> str:
    """A SHA-256, given back in lower case."""
    if not re.fullmatch(SHA256, text):
        found = f"{len(text)} hex digits" if re.fullmatch(r"[0-9a-fA-F]+", text) else f"'{text}'"
        raise WrongNameError(f"a SHA-256 is 64 hex digits, found {found}", "sha256sum FILE prints them")
    return text.lower()


def binaries_url(text: str) -> str:
    """Where binary packages are read from."""
    return _url(text, BINARY_SCHEMES)


def _url(text: str, schemes: tuple[str, ...]) -> str:
    known = ", ".join(schemes)
    try:
        parts = urlsplit(text)
        password = parts.password
    except ValueError as error:
        raise WrongNameError(f"'{text}' is not a URL", str(error)) from error
    if not parts.scheme or re.search(r"\s", text):
        raise WrongNameError(f"'{text}' is not a URL", f"it starts with one of: {known}")
    if parts.scheme not in schemes:
        raise WrongNameError(f"unknown URL scheme '{parts.scheme}'", f"known schemes: {known}")
    if password:
        # The text is not repeated: messages end up in logs.
        raise WrongNameError("the URL holds a password", "declarations are published; use a credential helper")
    if parts.scheme != "file" and not parts.hostname:
        raise WrongNameError(f"'{text}' is not a URL: it names no host")
    return text


def inside(text: str) -> str:
    """A path relative to the layer's directory that stays below it, in normal form."""
    if text.startswith("/"):
        raise WrongNameError(f"'{text}' is an absolute path", "write it relative to the directory of layer.yaml")
    if ".." in text.split("/"):
        raise WrongNameError(
            f"'{text}' leads out of the layer's directory", "everything declared lies beside layer.yaml or below it"
        )
    return _normalised(text)


def absolute(text: str) -> str:
    """An absolute path in normal form."""
    if not text.startswith("/"):
        raise WrongNameError(f"'{text}' is not an absolute path", f"write /{text.lstrip('./')}" if text.strip("./") else None)
    return _normalised(text)


def anywhere(text: str) -> str:
    """A path relative to the layer's directory, or absolute, in normal form."""
    return absolute(text) if text.startswith("/") else inside(text)


def _normalised(text: str) -> str:
    # posixpath keeps two leading slashes (POSIX gives them a meaning of their own); nobody here means that.
    normal = re.sub(r"^//", "/", posixpath.normpath(text)) if text else ""
    if not text:
        raise WrongNameError("an empty path", "leave the key out or name a path")
    if normal != text:
        raise WrongNameError(f"'{text}' is not in normal form", f"write {normal}")
    return text


def template(text: str, fields: tuple[str, ...]) -> str:
    """A template with ``{field}`` marks, each a plain name out of ``fields``; no formats, conversions or literal
    braces.
    """
    try:
        parts = list(string.Formatter().parse(text))
    except ValueError as error:
        raise WrongNameError(
            f"'{text}' is not a template: {_brace_problem(error)}", f"fields look like {{{fields[0]}}}"
        ) from error
    for _, name, specification, conversion in parts:
        if name is None:
            continue
        if specification or conversion or not re.fullmatch(r"[A-Za-z_]+", name):
            shown = name + (f"!{conversion}" if conversion else "") + (f":{specification}" if specification else "")
            raise WrongNameError(f"'{{{shown}}}' is not a template field", f"fields are plain names: {_listed(fields)}")
        if name not in fields:
            close = closest(name, fields)
            hint = f"did you mean '{{{close}}}'?" if close else f"known fields: {_listed(fields)}"
            raise WrongNameError(f"unknown template field '{{{name}}}'", hint)
    if "{{" in text or "}}" in text:
        raise WrongNameError(f"'{text}' is not a template: it holds a literal brace", f"fields look like {{{fields[0]}}}")
    return text


def _brace_problem(error: ValueError) -> str:
    return "a brace is never closed" if "expected" in str(error) or "'{'" in str(error) else "a brace is never opened"


def _listed(fields: tuple[str, ...]) -> str:
    return ", ".join(f"{{{name}}}" for name in fields)


def prefix(text: str) -> str:
    """The template of a part's prefix, checked as far as it can be without its versions and targets."""
    template(text, PART_FIELDS)
    absolute(text)
    plain = re.sub(r"\{[a-z]+\}", "x", text)
    if not _PREFIX_CHARACTERS.fullmatch(plain):
        bad = next(character for character in plain if not _PREFIX_CHARACTERS.fullmatch(character))
        raise WrongNameError(
            f"holds {bad!r}, which Portage or a shell would trip on",
            "the prefix is compiled into scripts and binaries: letters, digits and _ . - / only",
        )
    return text


def part_path(text: str) -> str:
    """An absolute path with ``{version}``, ``{os}`` and ``{arch}``."""
    return absolute(template(text, PART_FIELDS))


def trusted_dir(text: str) -> str:
    """An absolute directory, a template; possibly below ``{prefix}``."""
    template(text, TRUSTED_FIELDS)
    if text.startswith("{prefix}/"):
        _normalised(text)
    elif "{prefix}" in text:
        raise WrongNameError(f"'{text}' is not an absolute path", "{prefix} comes first and is followed by /")
    else:
        absolute(text)
    if ":" in text:
        raise WrongNameError(f"'{text}' holds ':', which separates directories in a search path", "choose another directory")
    return text


def profile(text: str) -> str:
    """A profile: ``repository:path`` with fields, as in a profile's ``parent`` file (PMS 5.2.1, repository prefix)."""
    template(text, PROFILE_FIELDS)
    name, colon, path = text.partition(":")
    if not colon or not name or not path:
        raise WrongNameError(f"'{text}' is not a profile: expected REPOSITORY:PATH", "for example {repo}:{os}/{arch}")
    inside(path)
    return text


def link_target(text: str) -> str:
    """What a host link points at: an absolute path, or a variant ``$(NAME:-default)`` whose default is one."""
    if "$" not in text:
        return absolute(text)
    found = _VARIANT.fullmatch(text)
    if not found:
        raise WrongNameError(f"'{text}' is not a variant link", "write $(NAME:-/default/path): one variable, with a default")
    absolute(found["default"])
    return text
