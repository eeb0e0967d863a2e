"""Converging: a plan becomes playbook variables, Ansible runs inside the stage's view, and the result is compared again.

Everything that belongs to this machine reaches the build through the view's fixed paths and the environment; what reaches
the prefix is the same on every machine.
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import shutil
import stat
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

from compatlayer import __version__, playbook, selection
from compatlayer.engine.base import Workshop
from compatlayer.engine.host import account_files
from compatlayer.errors import ConvergeError, HostError, UsageError
from compatlayer.gentoo.packages import Closure
from compatlayer.gentoo.portage_configuration import ETC_PORTAGE, digest_of
from compatlayer.journal import write_atomically
from compatlayer.mirror import names as mirror_names
from compatlayer.mirror import store
from compatlayer.plan import Kind, Plan
from compatlayer.playbook import Outcome, Playbook
from compatlayer.progress import Monitor
from compatlayer.resources import resource
from compatlayer.selection import Selection
from compatlayer.stage import Bind, Stage, View, keep_visible, unbound

# The build's fixed places, the same on every machine: a path that leaks into a package is then at least not this machine's.
ROOT = PurePosixPath("/compatlayer")
# A generated ebuild repository that only says what mirror:// names mean on this machine. The build sees it, the layer does not.
MACHINE_REPOSITORY = "compatlayer-machine"
# Places that a build may read, and no more.
_READ_ONLY = ("files", "machine", "mirror", "toolchain")
PROVENANCE = PurePosixPath("usr/share/compatlayer/provenance.json")
# Where the C library of a layer looks for locales (standalone's configure line says the same).
LOCALES = PurePosixPath("usr/lib/locale")


@dataclass(frozen=True, slots=True)
class Work:
    """What is to be done: the selection, its closure, and the plan that leads there."""

    chosen: Selection
    closure: Closure
    plan: Plan


@dataclass(frozen=True, slots=True)
class Options:
    """How to converge: without network, without a view (``bind`` False), and how many packages at once.

    Raises ``UsageError`` for what does not go together.
    """

    offline: bool = False
    bind: bool = True
    jobs: int | None = None

    def __post_init__(self) -> None:
        if self.offline and not self.bind:
            raise UsageError("--offline needs a view", hint="leave --no-bind out: the network is cut by the view's namespace")


@dataclass(frozen=True, slots=True)
class Places:
    """The directories of the state directory that a build uses, and how the build sees them."""

    state: Path
    run: Path
    part: str

    @property
    def host(self) -> Mapping[str, Path]:
        """Directories by the name of their place below ``ROOT``."""
        return {
            "build": self.state / "build" / self.part,
            "distfiles": self.state / "distfiles",
            "mirror": self.state / "mirror",
            "packages": self.state / "packages" / self.part,
            "logs": self.run / "logs",
            "files": self.run / "files",
            "tools": self.state / "tools",
            "toolchain": self.state / "toolchain" / self.part,
            "home": self.state / "home",
            "machine": self.state / "machine",
        }

    def make(self) -> None:
        """Make them all, with a GNU tar called ``gtar`` among the tools (Portage insists on the name)."""
        for directory in self.host.values():
            directory.mkdir(parents=True, exist_ok=True)
        gtar = self.host["tools"] / "gtar"
        tar = shutil.which("gtar") or shutil.which("tar")
        if tar and not gtar.exists():
            gtar.unlink(missing_ok=True)
            gtar.symlink_to(tar)

    def seen(self, name: str, *, bound: bool) -> PurePosixPath:
        """The path of a place as the build sees it."""
        return ROOT / name if bound else PurePosixPath(self.host[name])

    def workshop(self, *, bound: bool) -> Workshop:
        """The places as engines name them."""
        return Workshop(
            build=self.seen("build", bound=bound),
            distfiles=self.seen("distfiles", bound=bound),
            mirror=self.seen("mirror", bound=bound),
            packages=self.seen("packages", bound=bound),
            logs=self.seen("logs", bound=bound),
            tools=self.seen("tools", bound=bound),
            toolchain=self.seen("toolchain", bound=bound),
            home=self.seen("home", bound=bound),
            python=PurePosixPath(sys.executable),
            emerge=PurePosixPath(sys.prefix) / "bin" / "emerge",
        )


def begin_run(state: Path, verb: str, part: str) -> Path:
    """A new directory for one run's logs, ``runs/<time>-<verb>-<part>``, with ``runs/latest`` pointing at it."""
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    runs = state.absolute() / "runs"
    for attempt in range(1000):
        directory = runs / (f"{stamp}-{verb}-{part}" + (f".{attempt}" if attempt else ""))
        try:
            directory.mkdir(parents=True)
            break
        except FileExistsError:
            continue
    latest = runs / f".latest.{os.getpid()}"
    latest.unlink(missing_ok=True)
    latest.symlink_to(directory.name)
    latest.replace(runs / "latest")
    return directory


def converge(work: Work, stage: Stage, places: Places, options: Options, monitor: Monitor) -> Outcome:
    """Carry out a plan in ``stage``; hold the stage's lock. Raises ``ConvergeError``; KeyboardInterrupt passes through.

    What was merged before a failure stays, and the next run goes on from there.
    """
    places.make()
    _write_inputs(work.chosen, places)
    _lay_out_toolchain(work.chosen, places, bound=options.bind)
    view = _view(work.chosen, stage, places, options)
    view.check()
    variables = _variables(work, places, options, _former(_trees(stage, bound=options.bind)))
    try:
        return playbook.run(
            Playbook(
                file=resource("playbooks") / ("update.yml" if _replaces(work.plan) else "install.yml"),
                variables=variables,
                environment=_ansible_environment(places, bound=options.bind),
                run_directory=places.run,
                progress_file=places.host["logs"] / "progress.jsonl",
            ),
            view,
            monitor,
        )
    except ConvergeError as error:
        hint = "\n".join(filter(None, ["the network was cut: --offline" if options.offline else None, error.hint]))
        raise ConvergeError(error.fact, cause=_on_host(error.cause, places), hint=_on_host(hint or None, places)) from error
    finally:
        _empty(places.host["files"])


def stamp(work: Work, stage: Stage, *, bind: bool = True) -> str:
    """A digest over all that a converge depends on, and over the files that roles made as they are now.

    Equal stamps mean that running the roles again would change nothing: rendered variables, roles and modules, the tool's
    version, and the content of the files in the stage.
    """
    digest = hashlib.sha256(f"{__version__}\0".encode())
    digest.update(json.dumps(provenance(work), sort_keys=True).encode())
    digest.update(json.dumps(_packages(work), sort_keys=True).encode())
    for name in ("playbooks", "roles"):
        digest.update(_tree_digest(resource(name)))
    made = (PROVENANCE, *selection.host_links(work.chosen), *selection.trusted_directories(work.chosen))
    trees = _trees(stage, bound=bind)
    # What lies in Portage's directory beside what was declared is Portage's configuration too, until a role removes it.
    found = {path for tree in trees for path in _files_below(tree, ETC_PORTAGE)}
    for path in sorted({*selection.prefix_files(work.chosen), *made, *found}):
        digest.update(f"{path}\0".encode() + _entry(trees, path) + b"\0")
    if work.chosen.version.locales:
        digest.update("\0".join(_names(trees, LOCALES)).encode())
    return digest.hexdigest()


def is_converged(stage: Stage, expected: str) -> bool:
    """Whether the last converge of ``stage`` ended well with this stamp."""
    try:
        return (stage.directory / "converged").read_text(encoding="ascii").strip() == expected
    except (OSError, ValueError):
        return False


def remember(stage: Stage, value: str) -> None:
    """Keep the stamp of a converge that ended well."""
    write_atomically(stage.directory / "converged", f"{value}\n".encode())


def provenance(work: Work) -> dict[str, object]:
    """What the part is made from. No time, user or machine is named: the same declaration gives the same document."""
    chosen = work.chosen
    return {
        "layer": chosen.layer.name,
        "version": chosen.version.name,
        "target": chosen.part.target.name,
        "prefix": str(chosen.part.prefix),
        "engine": chosen.engine.name.value,
        "tool": f"compatlayer {__version__}",
        "configuration_sha256": digest_of(selection.prefix_files(chosen)),
        "repositories": [{"name": repository.name, "commit": repository.commit} for repository in chosen.version.repositories],
        "host_links": _links(selection.host_links(chosen)),
        "trusted_dirs": [str(path) for path in selection.trusted_directories(chosen)],
        "locales": list(chosen.version.locales),
        "declared": [{"atom": package.atom, "reason": package.reason} for package in chosen.packages],
        "packages": [
            {"cpv": one.id.cpv, "slot": one.slot, "repository": one.repository, "use": list(one.use)} for one in work.closure
        ],
    }


def _write_inputs(chosen: Selection, places: Places) -> None:
    """What the roles install from, and the machine's own ebuild repository."""
    _empty(places.host["files"])
    for path, content in selection.prefix_files(chosen).items():
        write_file(places.host["files"] / path, content)
    known = mirror_names.resolve(chosen.layer.mirrors)
    machine = places.host["machine"]
    write_file(machine / "profiles" / "repo_name", f"{MACHINE_REPOSITORY}\n".encode())
    write_file(machine / "profiles" / "thirdpartymirrors", mirror_names.thirdpartymirrors(known))
    write_file(machine / "profiles" / "eapi", b"8\n")
    write_file(machine / "metadata" / "layout.conf", b"masters =\nthin-manifests = true\n")


def _lay_out_toolchain(chosen: Selection, places: Places, *, bound: bool) -> None:
    """Write the engine's compiler, where it has one of its own: anew each time, for the host's may have changed."""
    toolchain = chosen.engine.toolchain(chosen.part, chosen.host, places.seen("toolchain", bound=bound))
    directory = places.host["toolchain"]
    _empty(directory)
    if toolchain is None:
        return
    for path, text in (*toolchain.scripts.items(), *toolchain.files.items()):
        write_file(directory / path, text.encode())
    for path in toolchain.scripts:
        (directory / path).chmod(0o755)
    for path, target in toolchain.links.items():
        (directory / path).parent.mkdir(parents=True, exist_ok=True)
        (directory / path).symlink_to(target)


def write_file(path: Path, content: bytes) -> None:
    """Write a file of a run directory, making its directories; it need not survive a crash."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def _repository_binds(chosen: Selection, state: Path) -> dict[str, Path]:
    return {
        repository.name: selection.repository_directory(chosen.layer, repository, state)
        for repository in chosen.version.repositories
    }


def _view(chosen: Selection, stage: Stage, places: Places, options: Options) -> View:
    if not options.bind:
        if account_files(chosen.host):
            raise HostError(
                f"Portage cannot build for user {chosen.host.uid}: it has no name, or its group {chosen.host.gid} has none",
                cause="they are not in /etc/passwd and /etc/group",
                hint="leave --no-bind out: the view gives it one",
            )
        return unbound(chosen.part.prefix)
    binds = [
        Bind(path, ROOT / name, writable=name not in _READ_ONLY) for name, path in places.host.items()
    ]
    binds += [Bind(path, ROOT / "repositories" / name) for name, path in _repository_binds(chosen, places.state).items()]
    binds.append(Bind(places.run, PurePosixPath(places.run), writable=True))
    for path, content in account_files(chosen.host).items():
        source = places.state / "accounts" / path.name
        write_file(source, content)
        binds.append(Bind(source, path))
    binds += keep_visible(Path(sys.prefix), Path(sys.base_prefix), resource("playbooks"), resource("roles"))
    return stage.view(binds=binds, offline=options.offline)


def _replaces(plan: Plan) -> bool:
    """Whether packages that are there already are replaced or removed, and not only new ones added."""
    return any(action.comparison.installed is not None for action in plan if action.kind.builds or action.kind is Kind.REMOVE)


@dataclass(frozen=True, slots=True)
class Former:
    """What the roles have made beside packages, as the last record of it says: links with their targets, and directories."""

    links: Mapping[PurePosixPath, str]
    directories: tuple[PurePosixPath, ...]


def _former(trees: Sequence[Path]) -> Former:
    """What the last converge of this stage, or of what it stands on, has recorded."""
    try:
        document = json.loads(_content(trees, PROVENANCE))
        links = {PurePosixPath(link["path"]): str(link["target"]) for link in document["host_links"]}
        return Former(links, tuple(PurePosixPath(path) for path in document["trusted_dirs"]))
    except (ValueError, KeyError, TypeError):
        return Former({}, ())  # no record yet, or one of a release that recorded neither


def _links(links: Mapping[PurePosixPath, str]) -> list[dict[str, str]]:
    return [{"path": str(path), "target": target} for path, target in links.items()]


def _variables(work: Work, places: Places, options: Options, former: Former) -> dict[str, object]:
    chosen, bound = work.chosen, options.bind
    workshop = places.workshop(bound=bound)
    prefix = str(chosen.part.prefix)
    locations = {
        name: ROOT / "repositories" / name if bound else PurePosixPath(path)
        for name, path in _repository_binds(chosen, places.state).items()
    }
    everything = {**locations, MACHINE_REPOSITORY: places.seen("machine", bound=bound)}
    environment = {
        **chosen.engine.environment(chosen.part, chosen.host, workshop),
        "PORTAGE_REPOSITORIES": selection.repositories_text(chosen, everything),
        # Portage links what it finds here into DISTDIR instead of fetching it, once its own check has passed (make.conf(5)).
        "PORTAGE_RO_DISTDIRS": shlex.join(str(workshop.mirror / area) for area in (store.PUBLIC, store.PRIVATE)),
    }
    jobs = options.jobs or chosen.host.cpu_count
    links, directories = selection.host_links(chosen), selection.trusted_directories(chosen)
    former_links = {path: target for path, target in former.links.items() if path not in {*links, *directories}}
    return {
        "ansible_python_interpreter": sys.executable,
        "host_preflight_prefix": prefix,
        "host_preflight_build_directory": str(workshop.build),
        "portage_config_prefix": prefix,
        "portage_config_source": str(places.seen("files", bound=bound)),
        "overlay_repositories": [{"name": name, "location": str(path)} for name, path in locations.items()],
        "packages_will_be_built": any(action.kind.builds for action in work.plan),
        "host_symlinks_prefix": prefix,
        "host_symlinks_links": _links(links),
        "host_symlinks_former": _links(former_links),
        "trusted_dirs_prefix": prefix,
        "trusted_dirs_paths": [str(path) for path in directories],
        "trusted_dirs_former": [str(path) for path in former.directories if path not in {*links, *directories}],
        "locales_prefix": prefix,
        "locales_names": list(chosen.version.locales),
        "locales_directory": str(LOCALES),
        "update_prefix": prefix,
        "update_env_update": [str(workshop.python), str(workshop.emerge.with_name("env-update"))],
        "update_environment": environment,
        "package_set_prefix": prefix,
        "package_set_emerge": [str(workshop.python), str(workshop.emerge)],
        "package_set_environment": environment,
        "package_set_names": list(chosen.set_names),
        "package_set_packages": _packages(work),
        "package_set_absent": [action.comparison.package.id.cpv for action in work.plan.of(Kind.REMOVE)],
        "package_set_options": [f"--jobs={jobs}"] if jobs > 1 else [],
        "package_set_progress_file": str(workshop.logs / "progress.jsonl"),
        "package_set_output_file": str(workshop.logs / "emerge.out"),
        "provenance_prefix": prefix,
        "provenance_document": provenance(work),
    }


def _packages(work: Work) -> list[dict[str, object]]:
    """The whole closure in build order, as the emerge module takes it; a forced rebuild carries its reason."""
    forced = {action.comparison.package.id.cpv: action.reason for action in work.plan.of(Kind.REBUILD)}
    return [
        {
            "cpv": one.id.cpv,
            "slot": one.slot,
            "repository": one.repository,
            "use": list(one.use),
            "iuse": list(one.iuse),
            **({"rebuild": forced[one.id.cpv]} if one.id.cpv in forced else {}),
        }
        for one in work.closure
    ]


def _ansible_environment(places: Places, *, bound: bool) -> dict[str, str]:
    home = places.seen("home", bound=bound)
    return {
        "HOME": str(home),
        "LC_ALL": "C.UTF-8",
        "TZ": "UTC",
        "ANSIBLE_HOME": str(home / "ansible"),
        "ANSIBLE_LOCAL_TEMP": str(home / "ansible" / "tmp"),
        "ANSIBLE_REMOTE_TEMP": str(home / "ansible" / "tmp"),
        "ANSIBLE_LIBRARY": str(resource("playbooks") / "library"),
        "ANSIBLE_ROLES_PATH": str(resource("roles")),
        "ANSIBLE_GATHERING": "explicit",
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_LOCALHOST_WARNING": "False",
        "ANSIBLE_PIPELINING": "True",
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def _on_host(text: str | None, places: Places) -> str | None:
    """Paths as the build saw them, turned into paths that the person can open."""
    if text is None:
        return None
    for name, path in places.host.items():
        text = text.replace(str(ROOT / name) + "/", f"{path}/")
    return text


def _content(trees: Sequence[Path], path: PurePosixPath) -> bytes:
    """A regular file of the stage, from what was written or else from the tree below it; empty when it is in neither."""
    kind, _, content = _entry(trees, path).partition(b":")
    return content if kind == b"file" else b""


def _entry(trees: Sequence[Path], path: PurePosixPath) -> bytes:
    """What the stage holds at a path, itself and not what a link there leads to."""
    for tree in trees:
        place = tree / path
        try:
            mode = place.lstat().st_mode
            if stat.S_ISLNK(mode):
                return b"link:" + os.fsencode(place.readlink())
            if stat.S_ISREG(mode):
                return b"file:" + place.read_bytes()
        except FileNotFoundError:
            continue
        except OSError as error:
            return f"unreadable:{error.errno}".encode()
        return b"directory:" if stat.S_ISDIR(mode) else b"absent:"  # a device is overlayfs's mark of a deletion
    return b"absent:"


def _names(trees: Sequence[Path], path: PurePosixPath) -> list[str]:
    """The names in a directory of the stage, of what was written and of the tree below it."""
    return sorted({name for tree in trees if (tree / path).is_dir() for name in os.listdir(tree / path)})


def _files_below(tree: Path, directory: PurePosixPath) -> Iterator[PurePosixPath]:
    """Everything below a directory of a tree that is no directory itself, by path below the tree."""
    for parent, _, names in os.walk(tree / directory):
        yield from (PurePosixPath(os.path.relpath(parent, tree), name) for name in names)


def _trees(stage: Stage, *, bound: bool) -> list[Path]:
    """What the prefix is made of, the tree that wins first."""
    if not bound:
        return [Path(stage.part.prefix)]
    return [tree for tree in (stage.upper, stage.lower) if tree is not None]


def _tree_digest(directory: Path) -> bytes:
    digest = hashlib.sha256()
    for path in sorted(directory.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            digest.update(f"{path.relative_to(directory)}\0".encode() + path.read_bytes() + b"\0")
    return digest.digest()


def _empty(directory: Path) -> None:
    if directory.is_dir():
        shutil.rmtree(directory)
    directory.mkdir(parents=True)
