"""The check ``policy``: nothing in the layer breaks the site's own rules (``policy.yaml``); without the file it finds nothing."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from compatlayer.declaration.policy import Policy, Rule
from compatlayer.findings import Finding, Severity
from compatlayer.verify.reading import Seen, Visitor
from compatlayer.verify.reading.resolver import Resolver, Where
from compatlayer.verify.registry import Context, check

_CAPABILITIES = "security.capability"  # capabilities(7), "File capabilities"


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyFinding(Finding):
    """Something breaks a rule of ``policy.yaml``. ``reason`` is the rule's own, where it has one."""

    check: ClassVar[str] = "policy"
    severity: ClassVar[Severity] = Severity.ERROR

    reason: str = ""

    @property
    def description(self) -> str:
        """One line: what breaks the rule, whose it is, and why there is such a rule."""
        owner = f" ({self.package})" if self.package and self.path else ""
        why = f": {self.reason}" if self.reason else ""
        return f"{self.path or self.package}{owner} {self.actual}{why}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyPrivileged(PolicyFinding):
    """A file gives whoever starts it rights of another user, and the policy does not list it.

    That is setuid, setgid, and capabilities in an extended attribute. Network file systems and containers are mounted so that
    none of it has an effect, and where it has one, a fault in the program is everybody's. Build the package without it, or list
    the path under ``setuid`` in ``policy.yaml``, with a reason.
    """

    identifier: ClassVar[str] = "policy-privileged-file"


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyNotInContainer(PolicyFinding):
    """A link leads to a path of the host that containers do not show, and the policy says that the layer is used in Apptainer.

    It works on the host and dangles in the container. Apptainer shows ``/proc``, ``/sys``, ``/dev``, the temporary directories,
    home and a few files of ``/etc``; what a site binds beyond that belongs under ``apptainer: binds`` in ``policy.yaml``.
    """

    identifier: ClassVar[str] = "policy-not-in-container"


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyForbiddenFile(PolicyFinding):
    """A path matches a pattern that the policy forbids.

    The rule's reason says why. Remove the file in the ebuild (or with ``INSTALL_MASK`` in ``config/``), or change the rule.
    """

    identifier: ClassVar[str] = "policy-forbidden-file"


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyForbiddenPackage(PolicyFinding):
    """A package is installed that the policy forbids.

    The rule's reason says why. Take it out of the set, or find out with ``compatlayer plan`` what needs it; mask it in
    ``config/`` so that it does not come back.
    """

    identifier: ClassVar[str] = "policy-forbidden-package"


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyUnused(PolicyFinding):
    """The policy allows a privileged file that is not there, or is not privileged.

    The package was removed, or is built without it now. The rule would let a later file of that name pass, which nobody has
    looked at. Remove it from ``policy.yaml``.
    """

    identifier: ClassVar[str] = "policy-unused"
    severity: ClassVar[Severity] = Severity.NOTE


class PolicyVisitor(Visitor):
    """Looks at modes, capabilities, links and paths; gives findings, and the numbers of the rules that have allowed something."""

    head_bytes = 1  # the file only has to be open: capabilities are asked of its descriptor

    def __init__(self, context: Context) -> None:
        super().__init__()
        self._policy = context.policy or Policy()
        self.reads = context.policy is not None
        self._declared = {str(link.path).strip("/"): link.target or str(link.path) for link in context.host_links}
        self._resolver = Resolver(context.prefix_tree, context.prefix) if self._policy.apptainer else None

    def entry(self, seen: Seen) -> None:
        for rule in self._policy.forbidden_files:
            if rule.matches(seen.path):
                self._report(PolicyForbiddenFile, seen, "is there", "not in the layer", "remove it in the ebuild", rule)
        mode = seen.status.st_mode
        if self.reads and stat.S_ISREG(mode) and mode & (stat.S_ISUID | stat.S_ISGID):
            self._privileged(seen, "is setuid" if mode & stat.S_ISUID else "is setgid")
        elif seen.target and self._resolver is not None:
            self._link(seen, self._resolver)

    def wants(self, seen: Seen) -> bool:
        return self.reads and bool(seen.status.st_mode & 0o111)

    def content(self, seen: Seen, chunk: bytes, offset: int, *, is_last: bool) -> None:  # noqa: ARG002 - not the content
        if offset:
            return
        try:
            os.getxattr(seen.descriptor, _CAPABILITIES)
        except OSError:
            return  # it has none, or its file system knows none
        self._privileged(seen, "has capabilities")

    def _privileged(self, seen: Seen, actual: str) -> None:
        for number, rule in enumerate(self._policy.setuid):
            if rule.matches(seen.path):
                self.found.append(number)
                return
        remedy = "build it without, or list it under setuid in policy.yaml"
        self._report(PolicyPrivileged, seen, actual, "no rights of another user", remedy, None)

    def _link(self, seen: Seen, resolver: Resolver) -> None:
        leads = resolver.follow(seen.path)
        if leads.where is Where.OUTSIDE and not self._policy.shown_in_container(leads.path):
            actual = f"leads to {leads.path}, which a container does not show"
            remedy = "bring it in the layer, or list the path under apptainer: binds in policy.yaml"
            self._report(PolicyNotInContainer, seen, actual, "a target that containers show", remedy, None)

    def _report(self, kind: type[PolicyFinding], seen: Seen, actual: str, expected: str, remedy: str, rule: Rule | None) -> None:
        self.found.append(
            kind(
                package=seen.package,
                path=seen.path,
                expected=expected,
                actual=actual,
                remedy=remedy,
                location=rule.location if rule else None,
                reason=rule.reason if rule else "",
            )
        )


@check("policy", visitor=PolicyVisitor)
def policy(context: Context) -> Iterator[Finding]:
    """Nothing in the layer breaks the site's own rules, where it has any."""
    rules = context.policy
    if rules is None:
        return
    reports = context.pass_.reports("policy")
    found = [report for report in reports if isinstance(report, Finding)]
    used = {report for report in reports if isinstance(report, int)}
    found += _packages(context, rules)
    found += [_unused(rule) for number, rule in enumerate(rules.setuid) if number not in used]
    yield from context.in_order(found)


def _packages(context: Context, rules: Policy) -> Iterator[Finding]:
    for package in context.inventory:
        for rule in rules.forbidden_packages:
            if rule.matches(package.id.cp):
                yield PolicyForbiddenPackage(
                    package=package.id.cpv,
                    expected="not installed",
                    actual="is installed",
                    remedy="take it out of the set, or change the rule",
                    location=rule.location,
                    reason=rule.reason,
                )


def _unused(rule: Rule) -> PolicyUnused:
    return PolicyUnused(
        path=rule.what,
        expected="a privileged file",
        actual="is allowed, and no privileged file is there",
        remedy="remove the rule",
        location=rule.location,
        reason=rule.reason,
    )
