"""What every test may use. A marker that this machine cannot honour skips its tests, and says why."""

from __future__ import annotations

import functools
import os
import signal
import subprocess
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

# How long an example takes says what else the machine was doing; a test that promises a time says so itself.
settings.register_profile("any-machine", deadline=None)
settings.load_profile("any-machine")

# A shell without job control starts what it puts in the background, a test run too, deaf to Ctrl-C, and so would be every
# program that a test starts and interrupts.
signal.signal(signal.SIGINT, signal.default_int_handler)

if TYPE_CHECKING:
    from tests.standalone_layer import StandaloneLayer


@functools.cache
def namespaces_missing() -> str:
    """Why user namespaces cannot be made here, in one line; empty where they can."""
    try:
        done = subprocess.run(
            ["unshare", "--user", "--map-root-user", "--mount", "true"], capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        return "unshare is not installed"
    return "" if done.returncode == 0 else done.stderr.strip() or f"unshare ended with {done.returncode}"


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("repositories", "real CernVM-FS repositories, which lose what is in them")
    for name in ("test", "production"):
        group.addoption(f"--cvmfs-{name}-repo", metavar="NAME", help=f"a {name} repository on this publisher (cvmfs_server mkfs)")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whole files that want the standalone layer come first: one worker builds it, the others go on meanwhile."""
    waiting = {item.path for item in items if "standalone" in getattr(item, "fixturenames", ())}
    items.sort(key=lambda item: item.path not in waiting)


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("root") and os.geteuid() != 0:
        pytest.skip("needs to be root")
    if item.get_closest_marker("userns") and (reason := namespaces_missing()):
        pytest.skip(f"no user namespaces here: {reason}")


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing that colours output or widens it may leak in from the terminal the tests were started on."""
    for name in ("NO_COLOR", "FORCE_COLOR", "CLICOLOR_FORCE", "COLUMNS", "LINES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "dumb")


@pytest.fixture(scope="session")
def standalone() -> StandaloneLayer:
    """This repository's standalone layer, built; tests leave it as it is. Mark them ``real`` and ``userns``."""
    from tests.standalone_layer import standalone_layer  # what most tests can do without

    return standalone_layer()
