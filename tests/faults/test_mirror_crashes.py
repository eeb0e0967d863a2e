"""Killed at any moment, on a full disk, interrupted: the store holds verified files only, and the next run completes."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import compatlayer
from compatlayer.errors import LockHeldError
from compatlayer.mirror.fill import fill
from compatlayer.mirror.store import Store
from compatlayer.progress import Monitor
from tests import misbehaving_server as bad
from tests.mirror_values import QUICK, only_verified, wanted, wants
from tests.misbehaving_server import MisbehavingServer

pytestmark = pytest.mark.faults

SOURCE = Path(compatlayer.__file__).parent.parent

# Fills the store at argv[1] with what argv[2] (JSON: name → [size, BLAKE2B, SHA512, url]) lists, as a process of its own.
FILL = """
import json, sys
from pathlib import Path
from compatlayer.errors import CompatlayerError
from compatlayer.mirror.fill import fill
from compatlayer.mirror.store import Store
from compatlayer.progress import Monitor
from compatlayer.gentoo.packages import SourceUri
from compatlayer.mirror.distfiles import Wanted, Wants
from tests.mirror_values import QUICK
files = {
    name: Wanted(name, size, {"BLAKE2B": blake, "SHA512": sha}, (SourceUri(url),))
    for name, (size, blake, sha, url) in json.loads(Path(sys.argv[2]).read_text()).items()
}
def run(root):
    with Store(Path(root)) as store:
        return fill(store, Wants(files, ("a part",)), QUICK, Monitor())
"""


@pytest.fixture
def server() -> Iterator[MisbehavingServer]:
    with MisbehavingServer() as server:
        yield server


def write_list(path: Path, server: MisbehavingServer, contents: dict[str, bytes], behave: bad.Behaviour) -> Path:
    files = {name: wanted(name, content, server.serve(f"/{name}", content, behave)) for name, content in contents.items()}
    listed = {
        name: [file.size_bytes, file.hashes["BLAKE2B"], file.hashes["SHA512"], file.uris[0].uri] for name, file in files.items()
    }
    path.write_text(json.dumps(listed))
    return path


def start(code: str, root: Path, listed: Path, *before: str) -> subprocess.Popen[str]:
    command = [*before, sys.executable, "-c", FILL + code, str(root), str(listed)]
    return subprocess.Popen(command, cwd=SOURCE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_fill_killed_at_random_moments_is_completed_by_the_next(tmp_path: Path, server: MisbehavingServer) -> None:
    seed = random.randrange(1 << 30)
    dice = random.Random(seed)
    contents = {f"{number}.tar": dice.randbytes(dice.choice((1000, 60_000, 2_000_000))) for number in range(24)}
    listed = write_list(tmp_path / "list", server, contents, bad.slowly(200_000, 0.02))
    root = tmp_path / "mirror"
    for _ in range(6):
        process = start("run(sys.argv[1])", root, listed)
        before = len(server.log)
        while len(server.log) == before and process.poll() is None:
            time.sleep(0.002)
        time.sleep(dice.uniform(0, 0.12))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        with Store(root) as store:
            only_verified(store, killed=True)
    done = start("print(len(run(sys.argv[1]).missing))", root, listed)
    out, err = done.communicate()
    assert (done.returncode, out) == (0, "0\n"), f"seed {seed}: {err}"
    with Store(root) as store:
        assert only_verified(store) == sorted(contents), f"seed {seed}"
        assert not list(store.incoming.iterdir())


def test_ctrl_c_ends_a_fill_at_once_and_the_next_goes_on(tmp_path: Path, server: MisbehavingServer) -> None:
    content = os.urandom(4_000_000)
    listed = write_list(tmp_path / "list", server, {"one.tar": content}, bad.slowly(100_000, 0.05))
    process = start("run(sys.argv[1])", tmp_path / "mirror", listed)
    part = tmp_path / "mirror" / "incoming"
    while not (part.is_dir() and any(path.stat().st_size > 300_000 for path in part.iterdir())):
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    began = time.monotonic()
    process.communicate()
    assert time.monotonic() - began < 3
    assert process.returncode == -signal.SIGINT
    server.serve("/one.tar", content)
    again = start("run(sys.argv[1])", tmp_path / "mirror", listed)
    assert again.wait() == 0, again.communicate()[1]
    assert int(server.requests_for("/one.tar")[-1]["Range"][6:-1]) > 300_000
    with Store(tmp_path / "mirror") as store:
        assert only_verified(store) == ["one.tar"]


FULL_DISK = """
import os
from tests.mirror_values import only_verified
root = sys.argv[1]
ballast = Path(root) / "ballast"
try:
    run(root)
    sys.exit("a full disk was not noticed")
except CompatlayerError as error:
    print(type(error).__name__, error.exit_code, error.fact.startswith("no space is left"), error.hint is not None)
with Store(Path(root)) as store:
    held = only_verified(store)
    print(all(size < 3_000_000 for name in held for size in [files[name].size_bytes]))
ballast.unlink()
print(len(run(root).missing))
with Store(Path(root)) as store:
    print(only_verified(store) == sorted(files))
"""


@pytest.mark.userns
def test_a_disk_that_fills_up_is_named_and_the_next_run_completes(tmp_path: Path, server: MisbehavingServer) -> None:
    contents = {f"{number}.tar": os.urandom(200_000) for number in range(6)} | {"large.tar": os.urandom(3_000_000)}
    listed = write_list(tmp_path / "list", server, contents, bad.whole())
    root = tmp_path / "mirror"
    root.mkdir()
    mount = 'mount -t tmpfs -o size=8m tmpfs "$1" && head -c 4500000 /dev/zero > "$1/ballast" && root=$1 && shift && exec "$@" "$root" '
    before = ("unshare", "--user", "--map-root-user", "--mount", "sh", "-c", mount + f'"{listed}"', "sh", str(root))
    command = [*before, sys.executable, "-c", FILL + FULL_DISK]
    done = subprocess.run(command, cwd=SOURCE, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["DistfileError 6 True True", "True", "0", "True"]


def test_two_fills_at_once_do_not_meet(tmp_path: Path, server: MisbehavingServer) -> None:
    listed = write_list(tmp_path / "list", server, {"one.tar": os.urandom(2_000_000)}, bad.slowly(100_000, 0.05))
    with Store(tmp_path / "mirror") as store:
        process = start("run(sys.argv[1])", tmp_path / "mirror", listed)
        while not server.log:
            time.sleep(0.01)
        with pytest.raises(LockHeldError, match="mirror fill"):
            fill(store, wants(wanted("two.tar", b"two", "file:///two")), QUICK, Monitor())
        assert process.wait() == 0, process.communicate()[1]
        process.communicate()


def test_a_lost_index_is_made_again_without_fetching(tmp_path: Path, server: MisbehavingServer) -> None:
    content = os.urandom(10_000)
    file = wanted("one.tar", content, server.serve("/one", content))
    with Store(tmp_path / "mirror") as store:
        fill(store, wants(file), QUICK, Monitor())
    for path in (tmp_path / "mirror").glob("index.sqlite*"):
        path.unlink()
    with Store(tmp_path / "mirror") as store:
        assert store.strangers()
        assert not fill(store, wants(file), QUICK, Monitor()).missing
        assert only_verified(store) == ["one.tar"]
        assert not store.strangers()
    assert len(server.log) == 1


def test_a_file_that_was_changed_behind_our_back_is_quarantined_and_fetched_again(
    tmp_path: Path, server: MisbehavingServer
) -> None:
    content = os.urandom(10_000)
    file = wanted("one.tar", content, server.serve("/one", content))
    with Store(tmp_path / "mirror") as store:
        fill(store, wants(file), QUICK, Monitor())
        store.path("one.tar", file.restrict).write_bytes(bytes(10_000))
        assert not fill(store, wants(file), QUICK, Monitor()).missing
        assert only_verified(store) == ["one.tar"]
        assert {path.read_bytes() for path in store.quarantined.iterdir()} == {bytes(10_000)}
