"""Acceptance tests: pytest-testinfra against a connection that enters the layer.

This module is a pytest plugin too: ``compatlayer test`` loads it, and its fixture ``host`` runs every command of a test inside
the view, at the path where the layer will live. A layer's tests lie in ``tests/layer/`` beside its ``layer.yaml``.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

from compatlayer import process
from compatlayer.declaration.model import Part
from compatlayer.entering import Entrance
from compatlayer.errors import UsageError
from compatlayer.gentoo.versions import parse_cpv
from compatlayer.stage import View

if TYPE_CHECKING:
    import pytest
    from testinfra.host import Host

VARIABLE = "COMPATLAYER_CONNECTION"
DIRECTORY = Path("tests") / "layer"
# pytest's exit codes (https://docs.pytest.org/en/stable/reference/exit-codes.html).
PASSED, FAILED, NO_TESTS = 0, 1, 5


@dataclass(frozen=True, slots=True)
class Result:
    """How one test ended: ``passed``, ``failed`` or ``skipped``, and what it said if it did not pass."""

    name: str
    outcome: str
    duration_s: float
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Selected:
    """Which tests, and where their report goes.

    ``expression`` is as ``pytest -k`` takes it. With ``packages`` (``category/name`` or ``name``) only tests that are marked
    ``@pytest.mark.package("category/name", …)`` with one of them are run. ``junit`` is the file of a JUnit report.
    """

    expression: str | None = None
    packages: tuple[str, ...] = ()
    junit: Path | None = None


def run(layer_root: Path, part: Part, entrance: Entrance, select: Selected, *, quiet: bool = False, silent: bool = False) -> int:
    """Run the layer's acceptance tests and return pytest's exit code; its output goes to this terminal, unless ``silent``.

    Raises ``UsageError`` when the layer has no tests.
    """
    directory = layer_root / DIRECTORY
    if not directory.is_dir():
        raise UsageError(
            f"{directory} does not exist",
            hint="put acceptance tests there: docs/guides/acceptance-tests.md",
        )
    connection = {
        "arguments": entrance.view.arguments,
        "shell": entrance.shell,
        "prefix": str(part.prefix),
        "packages": select.packages,
    }
    # testinfra's own plugin would connect to this machine; ours takes its place.
    plugins = ["-p", "no:pytest11.testinfra", "-p", "compatlayer.acceptance", "-p", "no:cacheprovider", "-p", "no:xdist"]
    arguments = [*plugins, "-c", os.devnull, "--rootdir", str(directory), "--tb=short", "--no-header"]
    arguments += ["-qq"] if quiet else ["-v"]
    arguments += ["-k", select.expression] if select.expression else []
    arguments += [f"--junit-xml={select.junit}"] if select.junit else []
    passed_on = {name: os.environ[name] for name in ("TERM", "NO_COLOR", "COLUMNS") if name in os.environ}
    done = process.run(
        [sys.executable, "-m", "pytest", *arguments, directory],
        env={VARIABLE: json.dumps(connection), "PYTHONDONTWRITEBYTECODE": "1", **passed_on},
        check=False,
        capture=silent,
    )
    return done.returncode


def run_silently(layer_root: Path, part: Part, entrance: Entrance, select: Selected) -> tuple[int, list[Result]]:
    """The same without a word: the exit code, and how each test ended."""
    with tempfile.TemporaryDirectory(prefix="compatlayer-tests-") as directory:
        junit = select.junit or Path(directory) / "junit.xml"
        code = run(layer_root, part, entrance, replace(select, junit=junit), silent=True)
        return code, read_results(junit) if junit.exists() else []


def read_results(junit: Path) -> list[Result]:
    """The results in a report that pytest has written (https://docs.pytest.org/en/stable/how-to/output.html)."""
    found = []
    for case in ET.parse(junit).iter("testcase"):  # noqa: S314  (our own pytest wrote it)
        bad = [child for child in case if child.tag in ("failure", "error")]
        outcome = "failed" if bad else "skipped" if case.find("skipped") is not None else "passed"
        name = f"{case.get('classname', '')}.{case.get('name', '')}".lstrip(".")
        found.append(Result(name, outcome, float(case.get("time", 0)), "\n".join(child.text or "" for child in bad)))
    return found


def connect(connection: Mapping[str, Any]) -> Host:
    """A testinfra host whose commands run inside the view that ``connection`` describes."""
    from testinfra.backend.local import LocalBackend  # noqa: PLC0415  (only where tests run)
    from testinfra.host import Host  # noqa: PLC0415

    view = View(PurePosixPath(connection["prefix"]), tuple(connection["arguments"]))
    shell: Sequence[str] = connection["shell"]

    class LayerBackend(LocalBackend):  # type: ignore[misc]
        """Runs commands in the view."""

        NAME = "compatlayer"

        def run(self, command: str, *args: str, **_kwargs: Any) -> Any:
            """Run a shell command line inside the layer; the shell is the login shell's, so that ``module`` is there."""
            line: str = self.get_command(command, *args)
            done = process.run(view.command([*shell, line]), check=False)
            return self.result(
                done.returncode,
                self.encode(line),
                done.stdout.encode("utf-8", "surrogateescape"),
                done.stderr.encode("utf-8", "surrogateescape"),
            )

    return Host(LayerBackend())


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line("markers", "package(name, ...): this test is about these packages (compatlayer test --package)")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is not about the packages asked for, and what is about packages that this layer does not have."""
    connection = json.loads(os.environ.get(VARIABLE, "{}"))
    wanted = set(connection.get("packages", ()))
    chosen = [item for item in items if wanted & _packages(item)] if wanted else list(items)
    if any(_packages(item) for item in chosen):
        installed = _installed(connection)
        chosen = [item for item in chosen if not _packages(item) or installed is None or _packages(item) & installed]
    config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
    items[:] = chosen


def _installed(connection: Mapping[str, Any]) -> frozenset[str] | None:
    """The names of the packages in the layer, with the category; None when it cannot say."""
    said = connect(connection).run(f"printf '%s\\n' {connection['prefix']}/var/db/pkg/*/*")
    entries = ["/".join(line.split("/")[-2:]) for line in said.stdout.splitlines()]
    packages = [parse_cpv(entry) for entry in entries if _is_cpv(entry)]
    return frozenset(name for package in packages for name in (package.cp, package.name)) or None


def _is_cpv(text: str) -> bool:
    try:
        parse_cpv(text)
    except ValueError:
        return False
    return True


def _packages(item: pytest.Item) -> set[str]:
    """What a test says it is about, with and without the category."""
    named = {str(name) for marker in item.iter_markers("package") for name in marker.args}
    return named | {name.rpartition("/")[2] for name in named}


def _fixture() -> Any:
    import pytest  # noqa: PLC0415

    @pytest.fixture(scope="session")
    def host() -> Host:
        """The layer under test."""
        return connect(json.loads(os.environ[VARIABLE]))

    @pytest.fixture(scope="session")
    def prefix() -> str:
        """The layer's prefix."""
        return str(json.loads(os.environ[VARIABLE])["prefix"])

    @pytest.fixture(scope="session")
    def scratch(host: Host) -> str:
        """A directory inside that can be written: /tmp, or what a host that has none offers instead."""
        return str(host.run("echo ${TMPDIR:-/tmp}").stdout.strip())

    return host, prefix, scratch


if VARIABLE in os.environ:
    host, prefix, scratch = _fixture()
