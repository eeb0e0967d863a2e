"""Filling and verifying a mirror of 1,000 files (10 KB to 5 MB, 300 MB in all), against emirrordist and plain downloading.

Upstream is nginx on the loopback. All runs use the same ebuild repository; ratios are of the same run. Each is repeated, in turn, and
the fastest counts: the others say what else the machine was doing. Takes 1 GB of disk for each round.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import queue
import random
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import requests

from compatlayer.engine import settings
from tests.ebuild_repository import write_root
from tests.tiny_layer import TARGET, TinyLayer

PACKAGES, FILES_EACH = 100, 10
SMALLEST, LARGEST, TOTAL = 10_000, 5_000_000, 300_000_000
MIRROR = Path(sys.prefix) / "bin" / "emirrordist"
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
# Takes one file of argv[2] bytes from file:argv[3] into the store argv[1], and says how much memory that took.
ONE_FILE = """
import json, resource, sys
from pathlib import Path
from compatlayer.gentoo.packages import SourceUri
from compatlayer.mirror.distfiles import Wanted, Wants
from compatlayer.mirror.fill import Options, fill
from compatlayer.mirror.store import Store
from compatlayer.progress import Monitor
name, size, url = "large.tar", int(sys.argv[2]), Path(sys.argv[3]).as_uri()
file = Wanted(name, size, json.loads(sys.argv[4]), (SourceUri(url),))
with Store(Path(sys.argv[1])) as store:
    assert not fill(store, Wants({name: file}), Options(), Monitor()).missing
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--directory", type=Path, help="where to work (default: the temporary directory)")
    options.add_argument("--rounds", type=int, default=3, help="how often to run each (default: 3)")
    options.add_argument("--large-bytes", type=int, default=4 << 30, help="size of the one large file (default: 4 GiB)")
    chosen = options.parse_args()
    scratch = Path(tempfile.mkdtemp(prefix="compatlayer-bench-", dir=chosen.directory))
    scratch.chmod(0o755)
    try:
        measure(scratch, chosen.rounds)
        measure_memory(scratch, chosen.large_bytes)
    finally:
        shutil.rmtree(scratch)


def measure(scratch: Path, rounds: int) -> None:
    upstream = scratch / "upstream"
    upstream.mkdir()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    layer = TinyLayer(scratch / "tiny")
    sizes = make_layer(layer, upstream, f"http://127.0.0.1:{port}")
    root = write_root(scratch / "root", [layer.repository], arch=TARGET.keyword)
    server = start_nginx(scratch, upstream, port)
    try:
        taken: dict[str, list[float]] = {}

        def timed(what: str, work: Callable[..., Any], *arguments: object) -> Any:
            began = time.perf_counter()
            result = work(*arguments)
            taken.setdefault(what, []).append(time.perf_counter() - began)
            return result

        for number in range(rounds):
            # New directories, and nothing is deleted in between: an ext4 without a journal looks at every inode that was freed in
            # the last minute before it gives one out (recently_deleted() in the kernel's fs/ext4/ialloc.c).
            plain, theirs, ours = (scratch / f"{whose}-{number}" for whose in ("plain", "theirs", "ours"))
            plain.mkdir()
            theirs.mkdir()
            timed("plain", download_plainly, plain, f"http://127.0.0.1:{port}", sizes)
            timed("emirrordist", emirrordist, root, theirs)
            taken.setdefault("fill, once resolved", []).append(timed("fill", filled, layer, ours))
            timed("emirrordist again", emirrordist, root, theirs)
            timed("fill again", run_ours, layer, ours, "fill")
            timed("emirrordist verify", emirrordist, root, theirs, "--verify-existing-digest")
            timed("verify", run_ours, layer, ours, "verify")
            assert len(list(theirs.glob("*.tar"))) == len(sizes), "emirrordist did not fetch everything"
        memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    finally:
        server.terminate()
        server.wait()
    fastest = {what: min(times) for what, times in taken.items()}
    for what, seconds in fastest.items():
        say(what, seconds, "s")
    say("fill, against emirrordist --jobs 8", fastest["fill"] / fastest["emirrordist"], "x", at_most=0.5)
    # Plain downloading is given its list; so it is compared with filling from the moment when Portage has given us ours.
    say(
        "fill, once resolved, against plain downloading in 8 threads",
        fastest["fill, once resolved"] / fastest["plain"],
        "x",
        at_most=1.2,
    )
    say("fill with nothing to do, against emirrordist's", fastest["fill again"] / fastest["emirrordist again"], "x", at_most=1.0)
    say("verify, against emirrordist's", fastest["verify"] / fastest["emirrordist verify"], "x", at_most=0.7)
    say("memory of the largest process with 1,000 files", memory, "MB", at_most=150)


def measure_memory(scratch: Path, size: int) -> None:
    large = scratch / "large"
    with large.open("wb") as stream:
        stream.truncate(size)
    digests = {"BLAKE2B": hashlib.blake2b(), "SHA512": hashlib.sha512()}
    with large.open("rb") as stream:
        while block := stream.read(1 << 20):
            for one in digests.values():
                one.update(block)
    hashes = json.dumps({name: one.hexdigest() for name, one in digests.items()})
    done = subprocess.run(
        [sys.executable, "-c", ONE_FILE, str(scratch / "one"), str(size), str(large), hashes],
        cwd=Path(__file__).resolve().parents[2], capture_output=True, text=True, check=True,
    )  # fmt: skip
    say(f"memory of a fill with one file of {size / (1 << 30):.3g} GiB", float(done.stdout), "MB", at_most=150)


def make_layer(layer: TinyLayer, upstream: Path, url: str) -> Mapping[str, Mapping[str, str]]:
    """The packages and their files; sizes are spread evenly over their magnitudes, and the same every time."""
    dice = random.Random(20_261_120)
    sizes = [int(SMALLEST * (LARGEST / SMALLEST) ** dice.random()) for _ in range(PACKAGES * FILES_EACH)]
    scale = TOTAL / sum(sizes)
    found: dict[str, Mapping[str, str]] = {}
    for package in range(PACKAGES):
        lines, uris = [], []
        for number in range(FILES_EACH):
            name = f"p{package}-{number}.tar"
            content = dice.randbytes(min(LARGEST, max(SMALLEST, int(sizes[package * FILES_EACH + number] * scale))))
            (upstream / name).write_bytes(content)
            hashes = {"BLAKE2B": hashlib.blake2b(content).hexdigest(), "SHA512": hashlib.sha512(content).hexdigest()}
            found[name] = hashes
            uris.append(f"{url}/{name}")
            lines.append(f"DIST {name} {len(content)} BLAKE2B {hashes['BLAKE2B']} SHA512 {hashes['SHA512']}\n")
        layer.repository.ebuild(f"app-misc/p{package}-1", src_uri=" ".join(uris))
        layer.repository.write(f"app-misc/p{package}/Manifest", "".join(lines))
    layer.declare(*[f"app-misc/p{package}" for package in range(PACKAGES)])
    return found


def start_nginx(scratch: Path, root: Path, port: int) -> subprocess.Popen[bytes]:
    run = scratch / "nginx"
    run.mkdir()
    temporary = "".join(f"{kind}_temp_path {run}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    user = "user root;" if os.geteuid() == 0 else ""
    (run / "nginx.conf").write_text(
        f"{user} daemon off; worker_processes 2; pid {run}/pid; error_log stderr; events {{ worker_connections 256; }}"
        f"http {{ access_log off; sendfile on; {temporary} server {{ listen 127.0.0.1:{port}; root {root}; }} }}"
    )
    server = subprocess.Popen(
        ["nginx", "-e", "stderr", "-c", run / "nginx.conf"], env={"PATH": "/usr/sbin:/usr/bin"}, stdin=subprocess.DEVNULL
    )
    while socket.socket().connect_ex(("127.0.0.1", port)) != 0:
        assert server.poll() is None, "nginx ended"
        time.sleep(0.02)
    return server


def download_plainly(target: Path, url: str, files: Mapping[str, Mapping[str, str]]) -> None:
    """What one would write in ten lines: eight threads, download, hash, write. Nothing is checked, nothing is kept safe."""
    waiting: queue.SimpleQueue[str] = queue.SimpleQueue()
    for name in files:
        waiting.put(name)

    def work() -> None:
        session = requests.Session()
        while True:
            try:
                name = waiting.get_nowait()
            except queue.Empty:
                return
            blake, sha = hashlib.blake2b(), hashlib.sha512()
            with session.get(f"{url}/{name}", stream=True) as answer, (target / name).open("wb") as stream:
                for block in answer.iter_content(1 << 18):
                    blake.update(block)
                    sha.update(block)
                    stream.write(block)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def emirrordist(root: Path, target: Path, *more: str) -> None:
    """Portage's own mirror tool on the same repository."""
    user = {"PORTAGE_USERNAME": "root", "PORTAGE_GRPNAME": "root"} if os.geteuid() == 0 else {}
    subprocess.run(
        [sys.executable, MIRROR, "--mirror", "--jobs", "8", "--repo", "tiny", "--distfiles", target, *more],
        env={
            "PATH": "/usr/bin:/bin", "HOME": str(target.parent), "LC_ALL": "C.UTF-8", "PORTAGE_OVERRIDE_EPREFIX": str(root),
            "FEATURES": settings.FEATURES, "FETCHCOMMAND": settings.FETCH, **user,
        },
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True,
    )  # fmt: skip


def filled(layer: TinyLayer, state: Path) -> float:
    """Fill, and say how long that took without resolving."""
    command = layer.command("--state", str(state), "-q", "--format", "json", "mirror", "fill")
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True, env=ENVIRONMENT)
    return float(json.loads(done.stdout)["elapsed_s"])


def run_ours(layer: TinyLayer, state: Path, verb: str) -> None:
    command = layer.command("--state", str(state), "-q", "mirror", verb)
    subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True, env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
    )


def say(what: str, value: float, unit: str, at_most: float | None = None) -> None:
    promise = {} if at_most is None else {"at_most": at_most}
    print(json.dumps({"what": what, "value": value, "unit": unit, **promise}), flush=True)


if __name__ == "__main__":
    main()
