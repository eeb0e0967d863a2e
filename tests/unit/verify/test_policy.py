from __future__ import annotations

import os
from pathlib import Path, PurePosixPath

import pytest

from compatlayer.declaration.model import HostLink
from compatlayer.declaration.policy_file import load
from compatlayer.errors import DeclarationError, Location
from compatlayer.findings import Severity
from tests.tiny_prefix import TinyPrefix, sound

ALLOWS = """\
setuid:
  - path: usr/bin/tool
    reason: users mount with it
"""


@pytest.fixture
def prefix(tmp_path: Path) -> TinyPrefix:
    return sound(tmp_path / "prefix")


def under(prefix: TinyPrefix, text: str) -> list[tuple[str, str]]:
    """Identifiers and descriptions of the findings of all checks under a policy."""
    (prefix.tree.parent / "policy.yaml").write_text(text)
    return [(one.identifier, one.description) for one in prefix.findings(policy=load(prefix.tree.parent))]


def test_without_a_file_there_is_no_policy_and_setuid_is_a_warning_as_ever(prefix: TinyPrefix) -> None:
    assert load(prefix.tree.parent) is None
    (prefix.tree / "usr/bin/tool").chmod(0o4755)
    (finding,) = prefix.findings()
    assert (finding.identifier, finding.severity) == ("mode-setuid", Severity.WARNING)


def test_what_the_policy_lists_is_no_finding_of_any_check(prefix: TinyPrefix) -> None:
    (prefix.tree / "usr/bin/tool").chmod(0o4755)
    assert under(prefix, ALLOWS) == []


def test_what_it_does_not_list_is_an_error_and_said_once(prefix: TinyPrefix) -> None:
    (prefix.tree / "usr/bin/bash").chmod(0o2755)
    (prefix.tree / "usr/bin/tool").chmod(0o4755)
    assert under(prefix, ALLOWS) == [("policy-privileged-file", "usr/bin/bash (app-shells/bash-5.2) is setgid")]


def test_a_rule_that_allows_nothing_any_more_is_noted_at_its_line(prefix: TinyPrefix) -> None:
    (prefix.tree.parent / "policy.yaml").write_text(ALLOWS)
    (finding,) = prefix.findings(policy=load(prefix.tree.parent))
    assert (finding.identifier, finding.severity) == ("policy-unused", Severity.NOTE)
    assert finding.location == Location("policy.yaml", 2, "setuid[0]")


@pytest.mark.root
def test_capabilities_are_as_good_as_setuid(prefix: TinyPrefix) -> None:
    # capabilities(7): struct vfs_cap_data, revision 2, CAP_NET_RAW permitted and effective.
    raw = bytes.fromhex("0100000200200000000000000000000000000000")
    try:
        os.setxattr(prefix.tree / "usr/bin/tool", "security.capability", raw)
    except OSError as error:
        pytest.skip(f"this file system takes no capabilities: {error}")
    assert under(prefix, "setuid: []\n") == [("policy-privileged-file", "usr/bin/tool (app-misc/tool-1.9) has capabilities")]
    assert under(prefix, ALLOWS) == []


def test_in_a_container_only_what_it_shows_of_the_host_is_there(prefix: TinyPrefix) -> None:
    for name, target in {"hosts": "/etc/hosts", "machine-id": "/etc/machine-id", "data": "/data/site/x"}.items():
        (prefix.tree / "etc" / name).symlink_to(target)
        link = HostLink(PurePosixPath(f"/etc/{name}"), target)
        prefix.settings["host_links"] = (*prefix.settings.get("host_links", ()), link)  # type: ignore[misc]
    assert under(prefix, "setuid: []\n") == []
    said = "leads to {}, which a container does not show"
    machine = ("policy-not-in-container", "etc/machine-id " + said.format("/etc/machine-id"))
    data = ("policy-not-in-container", "etc/data " + said.format("/data/site/x"))
    assert under(prefix, "apptainer: {}\n") == [data, machine]
    assert under(prefix, "apptainer: {binds: [/data]}\n") == [machine]


def test_forbidden_files_and_packages_are_named_with_the_rules_reason(prefix: TinyPrefix) -> None:
    text = """\
forbid:
  files:
    - {path: "*/arrow*", reason: no arrows}
  packages:
    - {name: "app-shells/*", reason: no shells}
"""
    assert sorted(under(prefix, text)) == [
        ("policy-forbidden-file", "usr/share/tool/arrow -> here (app-misc/tool-1.9) is there: no arrows"),
        ("policy-forbidden-package", "app-shells/bash-5.2 is installed: no shells"),
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("setuid: [{path: usr/bin/su}]\n", "reason"),
        ("setuid: [{path: /usr/bin/su, reason: x}]\n", "is an absolute path"),
        ("setiud: []\n", "setuid"),
        ("apptainer: {binds: [data]}\n", "is not an absolute path"),
        ("- 1\n", "mapping"),
    ],
)
def test_a_mistake_in_the_policy_is_told_with_its_file_and_line(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "policy.yaml").write_text(text)
    with pytest.raises(DeclarationError) as caught:
        load(tmp_path)
    assert str(caught.value).startswith("policy.yaml:1")
    assert said in str(caught.value)
