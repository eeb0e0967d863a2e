"""The variables of the roles, rendered: final atoms, paths as the build sees them, and the environment of emerge."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path, PurePosixPath

from compatlayer import selection
from compatlayer.converge.record import LOCALES, Former, Work, links, packages, provenance
from compatlayer.converge.workplace import BUILD, MACHINE_REPOSITORY, ROOT, Options, Places
from compatlayer.engine import settings
from compatlayer.mirror import store
from compatlayer.plan import Kind, Plan
from compatlayer.resources import resource
from compatlayer.selection import Selection

# PKGDIR is laid out by us and without Portage's index; only with several builds to a name does Portage read a name like one-1.
BINARY_FEATURES = "binpkg-multi-instance -pkgdir-index-trusted -getbinpkg"


def variables(work: Work, places: Places, options: Options, former: Former) -> dict[str, object]:
    """Every variable of the playbooks, by name; ``former`` is what the last converge has made."""
    chosen, bound = work.chosen, options.bind
    workshop = places.workshop(bound=bound)
    prefix = str(chosen.part.prefix)
    locations = {
        name: ROOT / "repositories" / name if bound else PurePosixPath(path)
        for name, path in repository_directories(chosen, places.state).items()
    }
    everything = {**locations, MACHINE_REPOSITORY: places.seen("machine", bound=bound)}
    environment = {
        **chosen.engine.environment(chosen.part, chosen.host, workshop),
        "PORTAGE_REPOSITORIES": selection.repositories_text(chosen, everything),
        # Portage links what it finds here into DISTDIR instead of fetching it, once its own check has passed (make.conf(5)).
        "PORTAGE_RO_DISTDIRS": shlex.join(str(workshop.mirror / area) for area in (store.PUBLIC, store.PRIVATE)),
    }
    if options.binaries is not None:
        keep = "buildpkg" if options.keep_binaries else "-buildpkg"
        environment["FEATURES"] = f"{environment.get('FEATURES', '')} {keep} {BINARY_FEATURES}".strip()
    # A prefix with a Portage of its own may have hooks that nobody here has written.
    if not chosen.engine.own_portage and _merges_side_by_side(work.plan):
        environment["FEATURES"] = f"{environment.get('FEATURES', '')} -ebuild-locks".strip()
    declared_links, directories = selection.host_links(chosen), selection.trusted_directories(chosen)
    former_links = {path: target for path, target in former.links.items() if path not in {*declared_links, *directories}}
    return {
        "ansible_python_interpreter": sys.executable,
        "host_preflight_prefix": prefix,
        "host_preflight_build_directory": str(workshop.build),
        "portage_config_prefix": prefix,
        "portage_config_source": str(places.seen("files", bound=bound)),
        "overlay_repositories": [{"name": name, "location": str(path)} for name, path in locations.items()],
        "packages_will_be_built": any(action.kind.builds for action in work.plan),
        "host_symlinks_prefix": prefix,
        "host_symlinks_links": links(declared_links),
        "host_symlinks_former": links(former_links),
        "trusted_dirs_prefix": prefix,
        "trusted_dirs_paths": [str(path) for path in directories],
        "trusted_dirs_former": [str(path) for path in former.directories if path not in {*declared_links, *directories}],
        "locales_prefix": prefix,
        "locales_names": list(chosen.version.locales),
        "locales_directory": str(LOCALES),
        "update_prefix": prefix,
        "update_env_update": list(chosen.engine.portage(chosen.part, workshop, "env-update")),
        "update_environment": environment,
        "package_set_prefix": prefix,
        "package_set_emerge": list(chosen.engine.portage(chosen.part, workshop, "emerge")),
        "package_set_environment": environment,
        "package_set_names": list(chosen.set_names),
        "package_set_packages": packages(work),
        "package_set_absent": [action.comparison.package.id.cpv for action in work.plan.of(Kind.REMOVE)],
        "package_set_options": _emerge_options(options, options.jobs or chosen.host.cpu_count),
        "package_set_progress_file": str(workshop.logs / "progress.jsonl"),
        "package_set_output_file": str(workshop.logs / "emerge.out"),
        "portage_records_prefix": prefix,
        "portage_records_epoch": settings.SOURCE_DATE_EPOCH_S,
        "portage_records_build_directory": str(workshop.build),
        "portage_records_recorded_build_directory": str(ROOT / BUILD),
        "provenance_prefix": prefix,
        "provenance_document": provenance(work),
    }


def _merges_side_by_side(plan: Plan) -> bool:
    """Whether no package that comes or goes has a phase that must not run beside another's: Portage's lock for these then guards
    nothing, and a package that finds it taken starts a Python to wait for it, a tenth of a second each time.
    """
    changes = [action.comparison for action in plan if action.kind is not Kind.KEEP]
    # What was built before, perhaps by others, does not say what it runs when it is removed.
    return all(one.installed is None and one.wanted is not None and not one.wanted.merge_code for one in changes)


def _emerge_options(options: Options, jobs: int) -> list[str]:
    found = [f"--jobs={jobs}"] if jobs > 1 else []
    if options.binaries is not None:
        # Said either way: the layer's own EMERGE_DEFAULT_OPTS must not bring in what nobody has chosen.
        found += [f"--usepkg={'y' if options.binaries else 'n'}", "--getbinpkg=n"]
    return found


def repository_directories(chosen: Selection, state: Path) -> dict[str, Path]:
    """The directories on this machine of the version's ebuild repositories, by name."""
    return {
        repository.name: selection.repository_directory(chosen.layer, repository, state)
        for repository in chosen.version.repositories
    }


def ansible_environment(places: Places, *, bound: bool) -> dict[str, str]:
    """The environment of Ansible itself: its directories below the state directory, no colours, our roles and modules."""
    home = places.seen("home", bound=bound)
    return {
        "HOME": str(home),
        "LC_ALL": "C.UTF-8",
        "TZ": "UTC",
        "ANSIBLE_CONFIG": str(resource("playbooks") / "ansible.cfg"),
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
