"""The shape of ``layer.yaml`` and ``sets/*.yaml``: pydantic models, which also give editors their JSON Schema.

Only the shape and single values are checked here; what several keys or files must agree on is checked in ``agreement``.
Nothing outside ``load`` uses these models: they end as the frozen values of ``model``.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from compatlayer.declaration import names
from compatlayer.declaration.model import TARGETS, Backend, EngineName, Status

SCHEMA_DIALECT = "https://json-schema.org/draft/2020-12/schema"
SEVERITIES = ("note", "warning", "error")
# What a GLSA's <impact type="…"> can say, ascending (GLSA DTD, https://www.gentoo.org/dtd/glsa.dtd, and practice).
IMPACTS = ("minimal", "low", "normal", "high")
REPOSITORIES = ("test", "production")


def mistake(fact: str, hint: str | None = None) -> PydanticCustomError:
    """The error a validator raises so that ``translate`` can hand fact and hint on unchanged."""
    return PydanticCustomError("mistake", "{fact}", {"fact": fact, "hint": hint})


def checked(check: Callable[[str], str]) -> AfterValidator:
    """A pydantic validator from a function of ``names``."""

    def validate(text: str) -> str:
        try:
            return check(text)
        except names.WrongNameError as wrong:
            raise mistake(wrong.fact, wrong.hint) from wrong

    return AfterValidator(validate)


def _filled(text: str) -> str:
    if not text.strip():
        raise names.WrongNameError("is empty", "say it in one sentence")
    return text


def _not_empty(kind: str) -> AfterValidator:
    def validate(value: Any) -> Any:
        if not value:
            raise mistake("is empty", f"list at least one {kind}, or leave the key out")
        return value

    return AfterValidator(validate)


def _required(owner: str, kind: str) -> AfterValidator:
    def validate(value: Any) -> Any:
        if not value:
            raise mistake("is empty", f"{owner} has at least one {kind}")
        return value

    return AfterValidator(validate)


def _pattern(pattern: str) -> Any:
    return Field(json_schema_extra={"pattern": f"^({pattern})$"})


def _choice(values: tuple[str, ...]) -> Any:
    return Field(json_schema_extra={"enum": list(values)})


def _at_least(minimum: int) -> AfterValidator:
    def validate(value: int) -> int:
        if value < minimum:
            raise mistake(f"{value} is too small", f"at least {minimum}")
        return value

    return AfterValidator(validate)


def _date(value: Any) -> Any:
    # A quoted date is as good as a plain one; anything else is left to pydantic's strict check.
    if isinstance(value, str):
        try:
            return date.fromisoformat(value)
        except ValueError as error:
            raise mistake(f"'{value}' is not a date", "write it as YYYY-MM-DD") from error
    return value


def _host_link(value: Any) -> Any:
    return {"path": value} if isinstance(value, str) else value


ENGINES = tuple(engine.value for engine in EngineName)
STATUSES = tuple(status.value for status in Status)
BACKENDS = tuple(backend.value for backend in Backend)
_PLAIN_HINT = "letters, digits and _ . - only, starting with a letter or digit"

LayerName = Annotated[str, checked(names.matching(names.PLAIN_NAME, "a layer name", _PLAIN_HINT)), _pattern(names.PLAIN_NAME)]
VersionName = Annotated[str, checked(names.matching(names.PLAIN_NAME, "a version name", _PLAIN_HINT)), _pattern(names.PLAIN_NAME)]
SetName = Annotated[
    str,
    checked(names.matching(names.SET_NAME, "a set name", "letters, digits and _ . + - only, starting with a letter, digit or _")),
    _pattern(names.SET_NAME),
]
TargetName = Annotated[str, checked(names.one_of(TARGETS, "target", "targets")), _choice(tuple(TARGETS))]
# Which targets a set may name depends on layer.yaml: agreement checks that, the schema only helps the editor.
SetTargets = Annotated[tuple[Annotated[str, _choice(tuple(TARGETS))], ...], Field(strict=False), _not_empty("target")]
Sentence = Annotated[str, checked(_filled)]
RepositoryName = Annotated[str, checked(names.repository)]
Inside = Annotated[str, checked(names.inside)]
Host = Annotated[str, checked(names.matching(names.HOST, "a host name", "for example arm1.example.org")), _pattern(names.HOST)]
Until = Annotated[date, BeforeValidator(_date)]


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class PackageEntry(_Entry):
    """One package of a set."""

    name: Annotated[str, checked(names.package)] = Field(
        description="`category/name` (PMS 3.1): no operator, version, slot, repository or USE flags"
    )
    version: Annotated[str, checked(names.package_version), _pattern(names.PACKAGE_VERSION)] | None = Field(
        None, description="exactly this version (PMS 3.2), revision included, quoted; left out: the newest that is not masked"
    )
    overlay: RepositoryName | None = Field(
        None, description="take it from this repository of the version only, its tree included"
    )
    include_on: SetTargets | None = Field(None, description="only on these targets")
    exclude_on: SetTargets | None = Field(None, description="on all targets but these; not together with `include_on`")
    reason: Sentence = Field(description="why the layer holds it; `TODO` loads, and `check` reports it")


class SetFile(_Entry):
    """sets/*.yaml: the declared packages, each with its reason."""

    name: SetName = Field(
        description="the set's name, which no other set file of the layer has; Portage knows it as `NAME-TARGET`"
    )
    packages: tuple[PackageEntry, ...] = Field(strict=False, description="the packages, in the order they are rendered")


class EbuildRepositoryEntry(_Entry):
    """An ebuild repository: path, or url and commit."""

    name: RepositoryName = Field(description="its name, as in its `profiles/repo_name`")
    path: Inside | None = Field(
        None, description="a directory beside `layer.yaml`, taken as it is; instead of `url` and `commit`"
    )
    url: Annotated[str, checked(names.git_url)] | None = Field(
        None, description="where git fetches it from: `https`, `http`, `ssh`, `git` or `file`; without a password"
    )
    commit: Annotated[str, checked(names.commit), _pattern(names.COMMIT)] | None = Field(
        None, description="the 40 hex digits of the commit it is pinned to; goes with `url`"
    )


Sha256 = Annotated[str, checked(names.sha256), _pattern(names.SHA256)]
SizeBytes = Annotated[int, _at_least(1)]


class ScriptEntry(_Entry):
    """Gentoo's bootstrap-prefix.sh at one commit."""

    url: Annotated[str, checked(names.script_url)] = Field(
        description="where it is fetched from; `{commit}` stands for the commit"
    )
    commit: Annotated[str, checked(names.commit), _pattern(names.COMMIT)] = Field(
        description="the 40 hex digits of the commit of Gentoo's repository `proj/prefix`"
    )
    sha256: Sha256 = Field(description="what `sha256sum` says of it: 64 hex digits")
    size_bytes: SizeBytes = Field(description="its size in bytes")


class SourceEntry(_Entry):
    """A file that the bootstrap asks for by itself."""

    url: Annotated[str, checked(names.source_url)] = Field(description="where it is fetched from; `mirror://NAME/PATH` works too")
    name: Annotated[str, checked(names.matching(names.FILE_NAME, "a file name", "no slash, no leading dot or dash"))] | None = (
        Field(None, description="what it is called; left out: what follows the URL's last slash")
    )
    sha256: Sha256 = Field(description="what `sha256sum` says of it: 64 hex digits")
    size_bytes: SizeBytes = Field(description="its size in bytes")


class BootstrapEntry(_Entry):
    """What engine bootstrap works from."""

    script: ScriptEntry = Field(description="Gentoo's `bootstrap-prefix.sh` at one commit")
    sources: tuple[SourceEntry, ...] = Field((), strict=False, description="the files that the script downloads by itself")


class HostLinkEntry(_Entry):
    """A path of the layer that points at the host."""

    path: Annotated[str, checked(names.absolute)] = Field(description="the path, on the host and below the prefix")
    target: Annotated[str, checked(names.link_target)] | None = Field(
        None, description="another path to point at, or a variant `$(NAME:-/default/path)`"
    )


_HOST_LINK_SCHEMA = {"anyOf": [{"type": "string", "pattern": "^/"}, HostLinkEntry.model_json_schema()]}
HostLinkItem = Annotated[HostLinkEntry, BeforeValidator(_host_link), WithJsonSchema(_HOST_LINK_SCHEMA)]


class VersionEntry(_Entry):
    """One generation of the layer."""

    status: Annotated[str, checked(names.one_of(STATUSES, "status", "statuses")), _choice(STATUSES)] = Field(
        description="`draft`: being prepared; `live`: in use; `retired`: kept for its history"
    )
    engine: Annotated[str, checked(names.one_of(ENGINES, "engine", "engines")), _choice(ENGINES)] = Field(
        description="how a prefix gets its toolchain: the host's compiler and libc (`guest`), its own libc and loader "
        "(`standalone`), Gentoo's `bootstrap-prefix.sh` (`bootstrap`), or it is there already (`native`: an adopted prefix)"
    )
    sets: Annotated[tuple[Inside, ...], Field(strict=False), _required("a version", "set file")] = Field(
        description="the set files of this version, relative to `layer.yaml`"
    )
    tree: EbuildRepositoryEntry | None = Field(
        None, description="the main ebuild repository; left out: the first overlay stands alone"
    )
    overlays: tuple[EbuildRepositoryEntry, ...] = Field(
        (),
        strict=False,
        description="the ebuild repositories on top of it, later ones winning; at least one when there is no tree",
    )
    profile: Annotated[str, checked(names.profile)] | None = Field(
        None,
        description="Portage's profile as `REPOSITORY:PATH`, a template with `{repo}` (the tree, or the first overlay), `{os}`, "
        "`{arch}`, `{keyword}`, `{version}`; left out: `{repo}:{os}/{arch}`",
    )
    trusted_dirs: tuple[Annotated[str, checked(names.trusted_dir)], ...] = Field(
        (),
        strict=False,
        description="directories the loader searches first; absolute, or beginning with `{prefix}/`; templates with "
        "`{version}`, `{os}`, `{arch}`",
    )
    locales: tuple[
        Annotated[
            str,
            checked(names.matching(names.LOCALE, "a locale", "for example C.UTF-8 or en_US.UTF-8")),
            _pattern(names.LOCALE),
        ],
        ...,
    ] = Field((), strict=False, description="locales to generate, such as `en_US.UTF-8`")
    host_links: tuple[HostLinkItem, ...] = Field(
        (), strict=False, description="paths that point at the host: a plain path, or `path` and `target`"
    )
    bootstrap: BootstrapEntry | None = Field(
        None, description="with engine `bootstrap`: the script, and the files that it downloads"
    )


class RepositoryEntry(_Entry):
    """Where layers are published."""

    backend: Annotated[str, checked(names.one_of(BACKENDS, "backend", "backends")), _choice(BACKENDS)] = Field(
        description="what publishes it"
    )
    path: Annotated[str, checked(names.anywhere)] | None = Field(None, description="`ostree`: the repository's directory")
    name: (
        Annotated[str, checked(names.matching(names.HOST, "a CernVM-FS repository name", "for example software.example.org"))]
        | None
    ) = Field(None, description="`cvmfs`: the repository's fully qualified name, such as `software.example.org`")


class BinariesEntry(_Entry):
    """Where binary packages are kept."""

    path: Annotated[str, checked(names.anywhere)] | None = Field(
        None, description="a directory that `install` takes packages from, and stores in what it builds"
    )
    urls: BinaryUrls = Field(
        (), description="stores that packages are only taken from (`https`, `http`, `file`), asked in this order"
    )
    keys: tuple[Inside, ...] = Field(
        (), strict=False, description="public keys of those who may sign packages; left out: all of `keys/`"
    )


class GatesEntry(_Entry):
    """What refuses a promotion; what is left out is not asked for."""

    verify: Annotated[str, checked(names.one_of(SEVERITIES, "severity", "severities")), _choice(SEVERITIES)] | None = Field(
        None,
        description="refuses when there is a finding of this severity or above; asked of a stage too, before it is published",
    )
    advisories: Annotated[str, checked(names.one_of(IMPACTS, "impact", "impacts")), _choice(IMPACTS)] | None = Field(
        None, description="refuses when an advisory of this impact or above is open"
    )
    acceptance: bool = Field(default=False, description="refuses when the acceptance tests did not pass")
    parity: bool = Field(default=False, description="refuses when targets differ in a way that is not declared")
    approvals: Annotated[int, _at_least(0)] = Field(0, description="refuses when fewer than this many signed approvals are there")
    approvers: tuple[Inside, ...] = Field(
        (), strict=False, description="the public keys that count, as files; at least as many as `approvals`"
    )


class AcceptedRiskEntry(_Entry):
    """An advisory the layer lives with."""

    advisory: Annotated[
        str,
        checked(names.matching(names.ADVISORY, "an advisory", "for example GLSA-202401-18")),
        _pattern(names.ADVISORY),
    ] = Field(description="the advisory, `GLSA-YYYYMM-NN`")
    reason: Sentence = Field(description="why it does no harm here")
    until: Until = Field(description="the last day on which that holds, `YYYY-MM-DD`")


class ConsumerEntry(_Entry):
    """A tree of software that stands on the layer."""

    name: Sentence = Field(description="what it is called in messages")
    path: Annotated[str, checked(names.part_path)] = Field(
        description="where it lies; a template with `{version}`, `{os}`, `{arch}`"
    )


class BuilderEntry(_Entry):
    """A machine that builds one target."""

    host: Host = Field(description="the machine's host name")
    user: Annotated[str, checked(names.matching(r"[A-Za-z_][A-Za-z0-9_.-]*", "a user name", "for example builder"))] | None = (
        Field(None, description="the account to log in with")
    )
    scratch: Annotated[str, checked(names.absolute)] | None = Field(None, description="an absolute directory for its work")
    jobs: Annotated[int, _at_least(1)] | None = Field(None, description="how many compilers at once")


MirrorName = Annotated[str, checked(names.matching(r"[A-Za-z0-9_][A-Za-z0-9_-]*", "a mirror name", "as in mirror://NAME/path"))]
MirrorUrls = Annotated[tuple[Annotated[str, checked(names.mirror_url)], ...], Field(strict=False), _not_empty("URL")]
BinaryUrls = Annotated[tuple[Annotated[str, checked(names.binaries_url)], ...], Field(strict=False), _not_empty("URL")]
RepositoryRole = Annotated[str, checked(names.one_of(REPOSITORIES, "repository", "repositories")), _choice(REPOSITORIES)]


class LayerFile(_Entry):
    """layer.yaml: the whole compatibility layer."""

    name: LayerName = Field(description="the layer's name: letters, digits, `_` `.` `-`")
    targets: Annotated[tuple[TargetName, ...], Field(strict=False), _required("a layer", "target")] = Field(
        description="the operating systems and architectures it is built for"
    )
    prefix: Annotated[str, checked(names.prefix)] = Field(
        description="the absolute path compiled into a part; a template with `{version}`, `{os}`, `{arch}`"
    )
    versions: Annotated[dict[VersionName, VersionEntry], _required("a layer", "version")] = Field(
        description="the generations of the layer, by name; quote the name"
    )
    mirrors: dict[MirrorName, MirrorUrls] = Field(
        default_factory=dict, description="what `mirror://NAME` means: base URLs (`https`, `http`, `ftp`, `file`)"
    )
    binaries: BinariesEntry | None = Field(None, description="where binary packages are kept; left out: nowhere")
    repositories: dict[RepositoryRole, RepositoryEntry] = Field(
        default_factory=dict, description="where it is published: `test` and `production`"
    )
    gates: GatesEntry = Field(default_factory=lambda: GatesEntry.model_validate({}), description="what a promotion demands")
    accepted_risks: tuple[AcceptedRiskEntry, ...] = Field((), strict=False, description="advisories the layer lives with")
    consumers: tuple[ConsumerEntry, ...] = Field((), strict=False, description="trees of software that stand on the layer")
    builders: dict[str, BuilderEntry] = Field(default_factory=dict, description="machines that build it, by target")


def layer_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of ``layer.yaml``, for editors."""
    return {"$schema": SCHEMA_DIALECT, **LayerFile.model_json_schema()}


def set_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of ``sets/*.yaml``, for editors."""
    return {"$schema": SCHEMA_DIALECT, **SetFile.model_json_schema()}
