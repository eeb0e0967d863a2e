"""Selection: what one version declares for one target, ready to be resolved and built.

Pure but for ``select``, which lets the engine look at the host once. The same files of ``etc/portage`` go into the root
that the resolver reads and into the prefix, so a plan and the build it announces cannot disagree.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from compatlayer import trees
from compatlayer.declaration import configuration, sets
from compatlayer.declaration.model import DeclaredPackage, EbuildRepository, Layer, Part, Target, Version
from compatlayer.engine import engine_for, program_versions
from compatlayer.engine.base import Engine, Files, Host
from compatlayer.errors import UsageError
from compatlayer.gentoo import portage_configuration
from compatlayer.gentoo.portage_configuration import GlobalConfig, RepositoryLocation, read_global_config

# Where a published layer expects an ebuild repository, below the prefix, should a site want to build on top of it.
REPOSITORIES = PurePosixPath("var/db/repos")
# What a part says of its making; `converge.record` writes it.
PROVENANCE = PurePosixPath("usr/share/compatlayer/provenance.json")


@dataclass(frozen=True, slots=True)
class Selection:
    """One part with everything that decides what is in it. ``packages`` are in declaration order."""

    layer: Layer
    version: Version
    part: Part
    packages: tuple[DeclaredPackage, ...]
    engine: Engine
    host: Host

    @property
    def existing_tree(self) -> Path | None:
        """What this part is before anything is staged: an adopted prefix. Raises ``HostError`` when that is not here."""
        adopted = self.engine.adopted(self.part)
        return adopted.tree if adopted else None

    @property
    def set_names(self) -> tuple[str, ...]:
        """The sets as Portage knows them on this target."""
        return tuple(one.rendered_name(self.part.target.name) for one in self.version.sets)

    @property
    def atoms(self) -> dict[str, list[str]]:
        """The declared atoms by set, as the resolver takes them."""
        target = self.part.target.name
        return {one.rendered_name(target): [package.atom for package in one.for_target(target)] for one in self.version.sets}

    @property
    def compiled_in(self) -> Mapping[str, str]:
        """The engine's settings that are in the files of packages, by ``category/name``: other ones mean to build them again."""
        return self.engine.compiled_in(self.part, self.version)

    @property
    def profile(self) -> str:
        """Portage's profile, ``repository:path``: the declared one, or ``os/arch`` of the first repository."""
        return self.version.profile_for(self.part.target)


def select(layer: Layer, version: Version, target: Target, state: Path) -> Selection:
    """Choose what ``version`` declares for ``target``. What this machine lacks for building it is in ``host.missing``; which
    programs it has is remembered in ``state``.
    """
    engine = engine_for(version.engine)
    packages = tuple(package for one in version.sets for package in one.for_target(target.name))
    return Selection(layer, version, layer.part(version, target), packages, engine, engine.probe(state / program_versions.MEMORY))


def choose_version(layer: Layer, name: str | None) -> Version:
    """The version of that name; without one the newest live one (the last declared). Raises ``UsageError``."""
    if name is None:
        live = [version for version in layer.versions if version.status == "live"]
        return (live or list(layer.versions))[-1]
    for version in layer.versions:
        if version.name == name:
            return version
    raise UsageError(
        f"{layer.file.name} declares no version '{name}'",
        hint=f"declared are: {', '.join(version.name for version in layer.versions)}",
    )


def choose_target(layer: Layer, name: str) -> Target:
    """The target of that name. Raises ``UsageError`` when the layer does not list it."""
    for target in layer.targets:
        if target.name == name:
            return target
    raise UsageError(
        f"{layer.file.name} lists no target '{name}'",
        hint=f"listed are: {', '.join(target.name for target in layer.targets)}; choose one with --target",
    )


def repository_directory(layer: Layer, repository: EbuildRepository, state: Path) -> Path:
    """The directory on this machine that holds an ebuild repository; one with URL and commit is fetched where it has to be.

    Raises ``UsageError`` for a path that is no ebuild repository, ``RepositoryError`` for a commit that cannot be had.
    """
    pin = trees.pin(repository, state)
    if pin is not None:
        return trees.tree(pin)
    assert repository.path is not None, "a repository has a path, or URL and commit: declaration.agreement"
    directory = layer.root / repository.path
    if not (directory / "profiles" / "repo_name").is_file():
        raise UsageError(
            f"{directory} is not an ebuild repository",
            cause="profiles/repo_name is missing",
            hint=f"declared as '{repository.name}' at {repository.location}" if repository.location else None,
        )
    return directory


def etc_portage(selection: Selection) -> Files:
    """Everything declared or generated below ``etc/portage``: the engine's, the layer's ``config/``, then the sets."""
    target = selection.part.target
    declared = frozenset(package.name for package in selection.packages)
    files: dict[PurePosixPath, bytes] = {}
    files.update(selection.engine.etc_portage(selection.part, selection.version, selection.host, declared))
    files.update(configuration.portage_files(selection.layer, target))
    for name, text in sets.render(selection.layer, [selection.version], [target]).items():
        files[PurePosixPath("sets", name)] = text.encode()
    return files


def host_links(selection: Selection) -> dict[PurePosixPath, str]:
    """The declared links to the host, by path below the prefix, with what each holds: a path, or a variant."""
    links = selection.version.host_links
    return {link.path.relative_to("/"): link.target or str(link.path) for link in links}


def trusted_directories(selection: Selection) -> tuple[PurePosixPath, ...]:
    """The loader's directories that the layer has to make, by path below the prefix.

    One elsewhere belongs to the host, and one that is declared as a link to the host is that link.
    """
    prefix, links = selection.part.prefix, host_links(selection)
    declared = [PurePosixPath(text) for text in selection.version.trusted_directories(selection.part)]
    inside = [path.relative_to(prefix) for path in declared if path.is_relative_to(prefix)]
    return tuple(path for path in inside if path not in links)


def resolver_files(selection: Selection, state: Path, home: Path | None = None) -> Files:
    """The resolver's configuration root: repositories where they lie on this machine, without the sets.

    ``home`` is the tree in which the Portage to ask is installed; None: ours.
    """
    locations = [
        RepositoryLocation(repository.name, PurePosixPath(repository_directory(selection.layer, repository, state)))
        for repository in selection.version.repositories
    ]
    return _root(selection, locations, read_global_config(home))


def prefix_files(selection: Selection) -> Files:
    """What the prefix gets: repositories where a site would put them, so that no machine's path is published."""
    locations = [
        RepositoryLocation(repository.name, selection.part.prefix / REPOSITORIES / repository.name)
        for repository in selection.version.repositories
    ]
    # A Portage of the prefix's own has brought its global configuration along.
    return _root(selection, locations, None if selection.engine.own_portage else read_global_config())


def repositories_text(selection: Selection, locations: Mapping[str, PurePosixPath]) -> str:
    """repos.conf for the build alone: every repository of the version, and what else is named, at ``locations``."""
    names: Sequence[str] = [repository.name for repository in selection.version.repositories]
    extra = [name for name in locations if name not in names]
    found = [RepositoryLocation(name, locations[name]) for name in (*names, *extra)]
    return portage_configuration.repos_conf(found).decode()


def _root(selection: Selection, locations: Sequence[RepositoryLocation], global_config: GlobalConfig | None) -> Files:
    return portage_configuration.config_root_files(
        global_config, repositories=locations, profile=selection.profile, etc_portage=etc_portage(selection)
    )
