"""The check ``declared``: every package of the closure is installed as resolved, and nothing else is.

It stands on ``plan.compare``, as the plan does: what this check finds is what an install would change.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from compatlayer.declaration.model import EngineName
from compatlayer.errors import Location
from compatlayer.findings import Finding, Severity
from compatlayer.gentoo.failures import MissingKeyword, NoSuchPackage, NotAsAsked
from compatlayer.gentoo.packages import Closure
from compatlayer.gentoo.versions import package_key
from compatlayer.plan import Comparison, Reasons, Verdict, compare
from compatlayer.verify.registry import Context, check

INSTALL = "run `compatlayer install`"
# An adopted prefix is not built by this program (engine native).
OWN_EMERGE = "build {atom} with the prefix's own emerge, or declare what is there"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclaredFinding(Finding):
    """A package is not as the declaration, resolved by Portage, wants it. ``reason`` says why it is wanted."""

    check: ClassVar[str] = "declared"
    severity: ClassVar[Severity] = Severity.ERROR

    reason: str = ""

    @property
    def description(self) -> str:
        """One line: the package, wanted and found, and the reason it is there for."""
        line = f"{self.package}: expected {self.expected}, found {self.actual}"
        return f"{line} ({self.reason})" if self.reason else line


@dataclass(frozen=True, slots=True, kw_only=True)
class MissingPackage(DeclaredFinding):
    """A package that is declared, or that a declared one needs, is not installed.

    Either nobody has run ``install`` since the declaration changed, or an install ended early, or somebody removed it. Software
    on top of the layer will miss it. ``compatlayer install`` builds it.
    """

    identifier: ClassVar[str] = "package-missing"


@dataclass(frozen=True, slots=True, kw_only=True)
class WrongVersion(DeclaredFinding):
    """A package is installed in another version than Portage resolves from the declaration and the pinned trees.

    Versions are compared as the Package Manager Specification orders them, never as text: 1.2 is not 1.20. The declaration or a
    pin has moved since this was built, or somebody built something by hand. ``compatlayer install`` brings the resolved version.
    """

    identifier: ClassVar[str] = "package-wrong-version"


@dataclass(frozen=True, slots=True, kw_only=True)
class WrongSlot(DeclaredFinding):
    """A package is installed, but in another slot, or with another sub-slot, than the resolved one.

    Slots let several versions stand side by side; a sub-slot names the binary interface that others are linked against. Whatever
    asks for the resolved slot does not find it. ``compatlayer install`` brings it.
    """

    identifier: ClassVar[str] = "package-wrong-slot"


@dataclass(frozen=True, slots=True, kw_only=True)
class WrongRepository(DeclaredFinding):
    """A package has the right version, but was built from another ebuild repository than the resolved one.

    Two ebuilds of one version may differ in patches, flags and files. This happens when an overlay gains or loses an ebuild that
    another repository has as well. ``compatlayer install`` builds it again, from the right one.
    """

    identifier: ClassVar[str] = "package-wrong-repository"


@dataclass(frozen=True, slots=True, kw_only=True)
class WrongUse(DeclaredFinding):
    """A package was built with other USE flags than the configuration now sets.

    USE flags switch features on and off at build time, so the installed files lack something or hold too much. ``compatlayer
    install`` builds the package again with the flags that are set.
    """

    identifier: ClassVar[str] = "package-wrong-use"


@dataclass(frozen=True, slots=True, kw_only=True)
class WrongSetting(DeclaredFinding):
    """A package was built with another setting of the declaration than the present one.

    Some keys of ``layer.yaml`` end up in files of a package: the loader of a layer's own C library knows ``trusted_dirs``, and
    the base layout brings ``etc/nsswitch.conf`` unless that is declared as a link to the host. Portage does not see such a
    change; the ebuild records what it was built with. ``compatlayer install`` builds the package again.
    """

    identifier: ClassVar[str] = "package-wrong-setting"


@dataclass(frozen=True, slots=True, kw_only=True)
class StaleDependency(DeclaredFinding):
    """A package was built against a sub-slot of a dependency that is not the resolved one.

    With ``:=`` an ebuild says that it has to be built again when the binary interface of a dependency changes. Until then it may
    look for a shared library that is no longer there. ``compatlayer install`` builds it again.
    """

    identifier: ClassVar[str] = "package-stale-dependency"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtraPackage(DeclaredFinding):
    """A package is installed that is neither declared nor needed by anything that is.

    It costs space, adds to what has to be kept secure, and makes this part differ from the same one built afresh. It was declared
    or needed once, or somebody installed it by hand. ``install`` keeps such packages, since something may use them; declare it
    with a reason, or remove it.
    """

    identifier: ClassVar[str] = "package-extra"
    severity: ClassVar[Severity] = Severity.WARNING

    @property
    def description(self) -> str:
        """One line: what it is, and that nothing asks for it."""
        return f"{self.package} is installed, but neither declared nor needed by anything that is"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvidedByHost(DeclaredFinding):
    """A package is declared, but ``package.provided`` says that the host has it, so the layer does not contain it.

    The layer then works only where the host brings that package, in a version of the host's choosing. Take it out of
    ``package.provided`` to have it built, or out of the set if the host's is what you mean.
    """

    identifier: ClassVar[str] = "package-from-host"
    severity: ClassVar[Severity] = Severity.WARNING

    @property
    def description(self) -> str:
        """One line: which declared package the host is relied on for."""
        return f"{self.package} is declared, but left to the host ({self.actual})"


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedPackage(DeclaredFinding):
    """An installed package could not be installed today."""

    severity: ClassVar[Severity] = Severity.ERROR

    @property
    def description(self) -> str:
        """One line: the package, and Portage's answer."""
        return f"{self.package} is installed, but {self.actual}"


@dataclass(frozen=True, slots=True, kw_only=True)
class GoneEbuild(RefusedPackage):
    """A package is installed, and the pinned trees no longer have its ebuild.

    It cannot be built again as it is, and no advisory will be checked against its tree. A pin has moved on, or an overlay has
    dropped the version: ``compatlayer plan`` shows what would take its place.
    """

    identifier: ClassVar[str] = "package-ebuild-gone"
    severity: ClassVar[Severity] = Severity.WARNING


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskedInstalled(RefusedPackage):
    """A package is installed in a version that is masked, or whose licence is not accepted, by the trees and the configuration.

    A mask says why in a comment: broken, insecure, about to go. It was set after this was built. ``compatlayer plan`` shows what
    would take its place; to keep the version, unmask it in ``config/`` and say why.
    """

    identifier: ClassVar[str] = "package-masked"


@dataclass(frozen=True, slots=True, kw_only=True)
class NoKeywordInstalled(RefusedPackage):
    """A package is installed in a version that has no keyword for this target: nobody has said that it works there.

    It was built while another configuration or another commit of the tree accepted it. Accept the keyword in
    ``package.accept_keywords`` if you have tried it, or let ``compatlayer install`` bring the version that has one.
    """

    identifier: ClassVar[str] = "package-no-keyword"


_CLASSES: dict[Verdict, type[DeclaredFinding]] = {
    Verdict.MISSING: MissingPackage,
    Verdict.WRONG_VERSION: WrongVersion,
    Verdict.WRONG_SLOT: WrongSlot,
    Verdict.WRONG_REPOSITORY: WrongRepository,
    Verdict.WRONG_USE: WrongUse,
    Verdict.WRONG_SETTING: WrongSetting,
    Verdict.REBUILD: StaleDependency,
}


@check("declared", needs_declaration=True)
def declared(context: Context) -> Iterator[Finding]:
    """What is declared is installed as resolved, and nothing else is."""
    if context.closure is None:
        return
    reasons = Reasons(context.closure, context.declared)
    compared = compare(context.closure, context.inventory)
    adopted = context.engine is EngineName.NATIVE
    # By name and version order rather than build order: two runs, and two targets, can be laid side by side.
    for comparison in sorted(compared, key=lambda one: (package_key(one.package.id), one.package.slot)):
        if comparison.verdict is Verdict.UNNEEDED:
            yield ExtraPackage(
                package=comparison.package.id.cpv,
                expected="not installed",
                actual="installed",
                remedy="declare it with a reason, or "
                + ("unmerge it with the prefix's own emerge" if adopted else "run `compatlayer install --remove-unneeded`"),
            )
        elif comparison.verdict is not Verdict.PRESENT:
            yield _finding(comparison, reasons, adopted=adopted)
    yield from _refused(context)
    yield from _provided(context, context.closure)


def _finding(comparison: Comparison, reasons: Reasons, *, adopted: bool) -> DeclaredFinding:
    expected, actual = _sides(comparison)
    wanted = comparison.wanted
    entry = reasons.declaration(wanted) if wanted else None
    location: Location | None = entry.location if entry else None
    return _CLASSES[comparison.verdict](
        package=comparison.package.id.cpv,
        expected=expected,
        actual=actual,
        remedy=OWN_EMERGE.format(atom=wanted.atom) if adopted and wanted else INSTALL,
        location=location,
        reason=reasons.of_package(wanted) if wanted else "",
    )


def _sides(comparison: Comparison) -> tuple[str, str]:
    """Wanted and found, in the words that matter for the verdict."""
    wanted, installed = comparison.wanted, comparison.installed
    if wanted is None or installed is None:
        return "installed", "not installed"
    match comparison.verdict:
        case Verdict.WRONG_SLOT:
            return f"slot {wanted.slot}/{wanted.subslot}", f"{installed.id.version} in slot {installed.slot}/{installed.subslot}"
        case Verdict.WRONG_REPOSITORY:
            return f"from ::{wanted.repository}", f"from ::{installed.repository or 'unknown'}"
        case Verdict.WRONG_USE:
            return f"USE {' '.join(comparison.use_changes)}", f"USE {' '.join(installed.use) or 'without any flag'}"
        case Verdict.WRONG_SETTING:
            return wanted.compiled_in, installed.compiled_in or "no record of it"
        case Verdict.REBUILD:
            return "built against what is resolved", f"built against {', '.join(comparison.rebuild_for)}"
        case _:
            return wanted.id.version, installed.id.version


def _refused(context: Context) -> Iterator[Finding]:
    """What Portage would not install today, in version order."""
    for package in context.inventory:
        failure = context.refused.get(package.id.cpv)
        if failure is None:
            continue
        kind: type[RefusedPackage] = MaskedInstalled
        if isinstance(failure, (NoSuchPackage, NotAsAsked)):
            kind = GoneEbuild
        elif isinstance(failure, MissingKeyword):
            kind = NoKeywordInstalled
        yield kind(
            package=package.id.cpv,
            expected="an ebuild that can be installed",
            actual=failure.fact,
            remedy="see what would take its place: compatlayer plan",
        )


def _provided(context: Context, closure: Closure) -> Iterator[Finding]:
    """Declared packages that are in the closure only because the host is said to have them."""
    resolved = {package.id.cp for package in closure}
    for entry in context.declared:
        hosts = [cpv for cpv in closure.provided if cpv.startswith(f"{entry.name}-")]
        if hosts and entry.name not in resolved:
            yield ProvidedByHost(
                package=entry.name,
                expected="in the layer",
                actual=f"package.provided has {', '.join(hosts)}",
                remedy="take it out of package.provided, or out of the set",
                location=entry.location,
                reason=entry.reason,
            )
