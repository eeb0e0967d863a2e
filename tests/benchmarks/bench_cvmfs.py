"""Promoting on a real CernVM-FS publisher: a part of 120,000 files, one package of 200 files changed.

The peer is what one would do otherwise with the same change: `rsync -a --delete` of the whole tree into an open transaction, then
`cvmfs_server publish`. It has its own directory in the production repository, equal trees, and the same nested catalogs. Wants
two repositories of its own, which this user may publish to (`cvmfs_server mkfs`); what it leaves in them is in the way of nothing.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from compatlayer import process, publish
from compatlayer.repository.cvmfs import CvmfsRepository
from compatlayer.repository.cvmfs_transaction import CvmfsTransaction
from compatlayer.tree import beneath
from tests.benchmarks.bench_changes import build, say
from tests.benchmarks.bench_repository import change, packages, run_promote, timed
from tests.published_part import PublishedLayer

PEER = "peer"
# Twice each, in turns: the better one says less of what else the machine was doing.
ROUNDS = 2


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--directory", type=Path, help="where to build (default: the temporary directory)")
    options.add_argument("--files", type=int, default=120_000, help="how many files (default: 120,000)")
    for name in ("test", "production"):
        options.add_argument(f"--cvmfs-{name}-repo", metavar="NAME", help=f"the {name} repository on this publisher")
    chosen = options.parse_args()
    if not (chosen.cvmfs_test_repo and chosen.cvmfs_production_repo):
        sys.stderr.write("no CernVM-FS repositories were named (--cvmfs-test-repo, --cvmfs-production-repo): nothing measured\n")
        return
    scratch = Path(tempfile.mkdtemp(prefix="compatlayer-bench-", dir=chosen.directory))
    try:
        measure(scratch, chosen.files, chosen.cvmfs_test_repo, chosen.cvmfs_production_repo)
    finally:
        beneath.remove_tree(scratch)


def measure(scratch: Path, files: int, *domains: str) -> None:
    layer = PublishedLayer(scratch / "layer", *domains)
    layer.declare(backend="cvmfs")
    tree = layer.stage().upper
    tree.rmdir()
    build(tree, files)
    packages(tree)
    plain = scratch / "plain"
    process.run(["cp", "-a", tree, plain])
    for place in (plain, plain / "var/db/pkg"):
        (place / ".cvmfscatalog").touch()

    production = layer.production
    assert isinstance(production, CvmfsRepository)
    rsync_s, publish_s = peer(production, plain)
    say(f"first rsync of {files} files", rsync_s, "s")
    say(f"first cvmfs_server publish of {files} files", publish_s, "s")
    _, first_s = timed(lambda: publish.publish(layer.layer, layer.stage(), layer.test))
    say(f"first publish of {files} files", first_s, "s")
    _, promote_s = timed(lambda: run_promote(layer))
    say(f"first promotion of {files} files", promote_s, "s")

    ours: list[tuple[float, float, float]] = []
    peers: list[tuple[float, float]] = []
    for round_number in range(ROUNDS):
        mark = f"round {round_number}"
        for number in range(200):
            (plain / f"p0/d{number // 10}/f{number % 10}").write_text(f"{mark} {number}\n")
        peers.append(peer(production, plain))
        test_s = change(layer, 200, mark)
        with staging() as staged:
            _, whole_s = timed(lambda: run_promote(layer))
        ours.append((whole_s, sum(staged), test_s))
    rsync_s, publish_s = min(one[0] for one in peers), min(one[1] for one in peers)
    whole_s, staged_s = min(one[0] for one in ours), min(one[1] for one in ours)
    say(f"rsync -a --delete into the transaction, 200 of {files} files changed", rsync_s, "s")
    say("  and cvmfs_server publish", publish_s, "s")
    say("publish to test", min(one[2] for one in ours), "s")
    say("promote, receipt and changelog included", whole_s, "s")
    say("  ratio to rsync and publish", whole_s / (rsync_s + publish_s), "x", at_most=0.3)
    say("  of it, staging the change into the transaction", staged_s, "s")
    say("  ratio to rsync", staged_s / rsync_s, "x", at_most=0.1)


class staging:  # noqa: N801  (used as a context manager, like a function)
    """Collects how long (s) each change list took to be carried into the open transaction."""

    def __enter__(self) -> list[float]:
        taken: list[float] = []
        self._apply = CvmfsTransaction.apply
        apply = self._apply

        def timing(transaction: CvmfsTransaction, *arguments: object) -> None:
            work: Callable[[], None] = lambda: apply(transaction, *arguments)  # type: ignore[arg-type]  # noqa: E731
            taken.append(timed(work)[1])

        CvmfsTransaction.apply = timing  # type: ignore[assignment,method-assign]
        return taken

    def __exit__(self, *_: object) -> None:
        CvmfsTransaction.apply = self._apply  # type: ignore[method-assign]


def peer(repository: CvmfsRepository, tree: Path) -> tuple[float, float]:
    """Bring a whole tree into the repository as one would by hand: the times (s) of rsync and of the publish."""
    domain = repository.domain
    process.run(["cvmfs_server", "transaction", domain])
    target = repository.mounted / PEER
    target.mkdir(exist_ok=True)
    _, rsync_s = timed(lambda: process.run(["rsync", "-a", "--delete", f"{tree}/", f"{target}/"]))
    _, publish_s = timed(lambda: process.run(["cvmfs_server", "publish", domain], cwd=Path(os.sep)))
    return rsync_s, publish_s


if __name__ == "__main__":
    main()
