"""The typed client of Portage's worker: our values in, our values out, Portage's refusals as ``ResolutionError``.

``with Worker() as worker: worker.closure(root, {"example": ["dev-lang/lua"]})``. One process serves any number of configuration
roots and architectures, one request after the other.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from compatlayer.gentoo import adoption, decode, decode_failures
from compatlayer.gentoo.adoption import PrefixDescription
from compatlayer.gentoo.failures import Candidate, Failure, ResolutionError
from compatlayer.gentoo.ingredients import Ingredients
from compatlayer.gentoo.packages import Closure, FetchMap, InstalledPackage, ResolvedPackage
from compatlayer.gentoo.pipe import JsonPipe, WorkerError

SCRIPT = Path(__file__).with_name("worker.py")
TIMEOUT_S = 300.0
# Every ebuild of a large tree is sourced by bash: minutes, on a slow machine many.
METADATA_TIMEOUT_S = 4 * 3600.0


@dataclass(frozen=True, slots=True)
class Versions:
    """Which Python and Portage answer, and where that Portage keeps its global configuration."""

    python: str
    portage: str
    global_config: Path


@dataclass(frozen=True, slots=True)
class Regenerated:
    """A metadata cache brought up to date: how many ebuilds it describes now, and those that bash could not source."""

    entries: int
    failed: tuple[str, ...]


class Worker:
    """Portage in its own process. A context manager; after an error of the process itself it is closed and stays so."""

    def __init__(
        self,
        *,
        python: Path | None = None,
        environment: Mapping[str, str] | None = None,
        timeout_s: float = TIMEOUT_S,
        script: Path = SCRIPT,
        through: Callable[[Sequence[str | Path]], Sequence[str | Path]] = tuple,
    ) -> None:
        """``python`` is the interpreter that owns the Portage to ask (default: the one that runs this).

        ``through`` makes of its command line one that sees the interpreter where it was built for, such as a view's.
        """
        self._python = python or Path(sys.executable)
        self._timeout_s = timeout_s
        # Isolated: neither this project's directory nor the user's settings decide what `import portage` finds.
        # No bytecode in somebody else's prefix, which is only read.
        options = ["-I", "-X", "utf8"] if python is None else ["-I", "-B", "-X", "utf8"]
        self._pipe = JsonPipe(through([self._python, *options, script]), env=environment)
        self._versions: Versions | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """End the process; harmless when it is over already."""
        self._pipe.release()

    @property
    def pid(self) -> int:
        """The worker's process id."""
        return self._pipe.pid

    @property
    def versions(self) -> Versions:
        """Which Portage answers. Raises ``WorkerError`` where there is none."""
        if self._versions is None:
            raw = self._ask("hello", {})
            self._versions = Versions(raw["python"], raw["portage"], Path(raw["global_config"]))
        return self._versions

    def match(
        self, atoms: Sequence[str], packages: Sequence[InstalledPackage | ResolvedPackage]
    ) -> dict[str, tuple[InstalledPackage | ResolvedPackage, ...]]:
        """Which of ``packages`` each atom matches, by Portage's own rules (version, slot, repository, USE)."""
        descriptions = [
            {
                "cpv": package.id.cpv,
                "slot": package.slot,
                "subslot": package.subslot,
                "repository": package.repository,
                "use": package.use,
                "iuse": package.iuse,
            }
            for package in packages
        ]
        raw = self._ask("match", {"atoms": list(atoms), "packages": descriptions})
        return {atom: tuple(packages[index] for index in found) for atom, found in zip(atoms, raw, strict=True)}

    def compare_versions(self, pairs: Iterable[tuple[str, str]]) -> list[int | None]:
        """Portage's own order of each pair: negative, zero, positive; None where one is no version."""
        raw: list[int | None] = self._ask("vercmp", {"pairs": list(pairs)})
        return raw

    def check_atoms(self, config_root: Path, atoms: Sequence[str]) -> dict[str, Candidate | Failure]:
        """For each atom the best ebuild that the root's configuration lets through, or why there is none."""
        raw = self._ask("check_atoms", {"config_root": str(config_root), "atoms": list(atoms)})
        return {
            atom: decode_failures.candidate(answer["best"]) if "best" in answer else decode_failures.failure(answer)
            for atom, answer in zip(atoms, raw, strict=True)
        }

    def closure(
        self, config_root: Path, declared: Mapping[str, Sequence[str]] | Sequence[str], *, system: bool = False
    ) -> Closure:
        """The ``declared`` atoms with their dependencies, build dependencies included, in build order.

        ``declared`` maps the names of sets to their atoms; plain atoms are the set ``declared``. With ``system`` the profile's
        system set is wanted too, as the set ``system``. The root's ``var/db/pkg`` should be empty: installed packages would be
        taken for granted. Raises ``ResolutionError`` when Portage finds no solution.
        """
        sets = declared if isinstance(declared, Mapping) else {"declared": declared}
        request = {
            "config_root": str(config_root),
            "sets": {name: list(atoms) for name, atoms in sets.items()},
            "system": system,
        }
        raw = self._ask("closure", request)
        return decode.closure(raw)

    def fetch_maps(self, config_root: Path, packages: Iterable[ResolvedPackage]) -> tuple[FetchMap, ...]:
        """The distfiles of each package, as its USE flags select them, in the order of ``packages``."""
        raw = self._ask("fetch_map", {"config_root": str(config_root), "packages": _named(packages)})
        return tuple(map(decode.fetch_map, raw))

    def ingredients(self, config_root: Path, packages: Iterable[ResolvedPackage]) -> tuple[Ingredients, ...]:
        """What goes into the build of each package, in the order of ``packages``."""
        raw = self._ask("ingredients", {"config_root": str(config_root), "packages": _named(packages)})
        return tuple(map(decode.ingredients, raw))

    def metadata_cache(self, config_root: Path, repository: str, *, jobs: int = 1) -> Regenerated:
        """Bring ``metadata/md5-cache`` of one repository up to date, as ``egencache --update`` would, with ``jobs`` at once."""
        request = {"config_root": str(config_root), "repository": repository, "jobs": jobs}
        raw = self._ask("metadata_cache", request, METADATA_TIMEOUT_S)
        return Regenerated(raw["entries"], tuple(raw["failed"]))

    def describe(self, config_root: Path) -> PrefixDescription:
        """What the existing prefix at ``config_root`` consists of: profile, repositories, world and sets."""
        return adoption.decode(self._ask("describe", {"config_root": str(config_root)}))

    def _ask(self, operation: str, request: Mapping[str, Any], timeout_s: float | None = None) -> Any:
        """The ``ok`` of one answer; a refusal is raised as ``ResolutionError``, a bug of the worker as ``WorkerError``."""
        limit_s = self._timeout_s if timeout_s is None else max(timeout_s, self._timeout_s)
        answer = self._pipe.ask(operation, request, limit_s)
        if "ok" in answer:
            return answer["ok"]
        if "failures" in answer:
            raise ResolutionError([decode_failures.failure(raw) for raw in answer["failures"]], answer.get("text", ""))
        error = str(answer.get("error", answer))
        if "No module named 'portage'" in error or "No module named '_emerge'" in error:
            raise WorkerError(
                f"{self._python} has no Portage", cause=error, hint="run `make`, or name the Python of a Gentoo Prefix"
            )
        raise WorkerError(
            f"Portage's worker could not carry out {operation!r}: {error}",
            cause=answer.get("traceback") or answer.get("text") or None,
            hint="this is a bug in the worker, or a Portage it does not know",
        )


def _named(packages: Iterable[ResolvedPackage]) -> list[dict[str, object]]:
    """Packages as a request names them."""
    return [{"cpv": package.id.cpv, "repository": package.repository, "use": list(package.use)} for package in packages]
