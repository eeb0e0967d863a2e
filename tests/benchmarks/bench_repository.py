"""Publishing and promoting on OSTree: a part of 120,000 files, one package of 200 files changed.

The peers are the programs that one would use otherwise, on the same tree in the same run: `ostree commit`, `ostree
pull-local`, `rsync --checksum --dry-run`. Then the curves: what a publish costs by the size of the change, and by that of the
layer. Changelogs are compared for 600 packages.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from compatlayer import changelog, process, promote, publish, signing
from compatlayer.gates import Question
from compatlayer.gentoo.packages import InstalledPackage, Inventory, PackageId
from compatlayer.stage import drop, find_stage, open_stage
from compatlayer.tree import beneath
from tests.benchmarks.bench_changes import best, build, say
from tests.published_part import TARGET, PublishedLayer

PACKAGES = 600


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--directory", type=Path, help="where to build (default: the temporary directory)")
    options.add_argument("--files", type=int, default=120_000, help="how many files (default: 120,000)")
    chosen = options.parse_args()
    changelogs()
    scratch = Path(tempfile.mkdtemp(prefix="compatlayer-bench-", dir=chosen.directory))
    try:
        layer = published(scratch / "large", chosen.files)
        whole(layer, scratch, chosen.files)
        for files in (20, 2000):
            say(f"publish, {files} of {chosen.files} files changed", change(layer, files, str(files)), "s")
        small = published(scratch / "small", chosen.files // 10)
        say(f"publish, 200 of {chosen.files // 10} files changed", change(small, 200, "b"), "s")
    finally:
        beneath.remove_tree(scratch)


def published(directory: Path, files: int) -> PublishedLayer:
    """A layer of that many files, published and promoted once."""
    layer = PublishedLayer(directory)
    layer.declare()
    stage = layer.stage()
    stage.upper.rmdir()
    build(stage.upper, files)
    packages(stage.upper)
    _, first_s = timed(lambda: publish.publish(layer.layer, layer.stage(), layer.test))
    say(f"first publish of {files} files", first_s, "s")
    _, promote_s = timed(lambda: run_promote(layer))
    say(f"first promotion of {files} files", promote_s, "s")
    return layer


def packages(tree: Path) -> None:
    """A package database for a tree."""
    for number in range(PACKAGES):
        entry = tree / f"var/db/pkg/cat/name{number}-1"
        entry.mkdir(parents=True)
        for name, value in (("SLOT", "0"), ("EAPI", "8"), ("BUILD_TIME", "1"), ("PROVIDES", f"x86_64: libname{number}.so.1")):
            (entry / name).write_text(value)


def whole(layer: PublishedLayer, scratch: Path, files: int) -> None:
    """The change that is promised, beside its peers."""
    test = layer.test
    branch = f"tiny/2026.11/{TARGET.name}"
    repository = layer.root / "repositories/test"
    ostree = ("ostree", f"--repo={scratch}/pulled")
    process.run([*ostree, "init", "--mode=bare-user"])
    _, pull_all_s = timed(lambda: process.run([*ostree, "pull-local", repository, branch]))
    publish_s = change(layer, 200, "a")
    say(f"publish, 200 of {files} files changed", publish_s, "s")
    _, pull_s = timed(lambda: process.run([*ostree, "pull-local", repository, branch]))
    _, promote_s = timed(lambda: run_promote(layer))
    say(f"promote, 200 of {files} files changed, receipt and changelog included", promote_s, "s")
    say("  ratio to ostree pull-local of the change", promote_s / pull_s, "x", at_most=1)
    say("  ostree pull-local of the change", pull_s, "s")
    say("  ostree pull-local of everything", pull_all_s, "s")
    head = test.head(layer.part)
    assert head is not None
    tree = test.tree(head, layer.part)
    _, commit_s = timed(
        lambda: process.run(["ostree", f"--repo={repository}", "commit", "-b", "whole", "--owner-uid=0", "--owner-gid=0", tree])
    )
    say("full ostree commit of the tree", commit_s, "s")
    say("  ratio of a publish to it", publish_s / commit_s, "x", at_most=0.1)
    comparing(layer, tree)


def comparing(layer: PublishedLayer, tree: Path) -> None:
    """Two trees by their manifests, and by reading them."""
    test = layer.test
    second, first = test.revisions(layer.part)[:2]

    def by_manifest() -> list[object]:
        fresh = layer.test
        return list(fresh.manifest(first, layer.part).differences(fresh.manifest(second, layer.part)))

    found, manifest_s = best(by_manifest)
    assert found
    say("two trees compared by stored manifests", manifest_s, "s")
    try:
        before = test.tree(first, layer.part)
        _, rsync_s = timed(lambda: process.run(["rsync", "-a", "--checksum", "--dry-run", "--delete", f"{before}/", f"{tree}/"]))
        say("  ratio to rsync --checksum --dry-run", manifest_s / rsync_s, "x", at_most=0.05)
    except process.ProgramError:
        sys.stderr.write("rsync is not installed: not compared with it\n")


def change(layer: PublishedLayer, files: int, mark: str) -> float:
    """Rebuild a package of that many files on top of what is published, and publish it: the time (s) of the publish."""
    head = layer.test.head(layer.part)
    assert head is not None
    old = find_stage(layer.state, layer.part)
    if old is not None:
        drop(old)
    lower = layer.test.tree(head, layer.part)
    stage = open_stage(layer.state, layer.part, lower=lower, base=publish.base_name(layer.test, head))
    for number in range(files):
        place = stage.upper / f"p{number // 200}" / f"d{number // 10 % 20}" / f"f{number % 10}"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(f"{mark} {number}\n")
    result, publish_s = timed(lambda: publish.publish(layer.layer, stage, layer.test))
    assert result.revision is not None
    return publish_s


def run_promote(layer: PublishedLayer) -> object:
    file = layer.state / "keys/operator.pem"
    key = signing.private_key(file) if file.exists() else signing.make_private_key(file)
    head = layer.test.head(layer.part)
    assert key is not None
    assert head is not None
    question = Question(layer.layer, layer.version, TARGET, layer.state, layer.test, layer.production, head, key.keyid)
    return promote.promote(question, key)


def changelogs() -> None:
    """Two inventories of 600 packages, half of them different."""
    before, after = inventory("1.0", 0), inventory("1.1", PACKAGES // 2)
    found, elapsed_s = best(lambda: changelog.package_changes(before, after))
    assert len(found) == PACKAGES // 2
    say(f"changelog between revisions of {PACKAGES} packages", elapsed_s, "s", at_most=0.3)


def inventory(version: str, changed: int) -> Inventory:
    packages = []
    for number in range(PACKAGES):
        identity = PackageId("cat", f"name{number}", version if number < changed else "1.0")
        packages.append(
            InstalledPackage(identity, "0", "0", "tiny", "8", (), (), datetime.fromtimestamp(0, UTC), 1, ">=a/b-1 " * 40)
        )
    return Inventory(tuple(packages))


def timed(work: object) -> tuple[object, float]:
    """The result and the time (s) of one run."""
    assert callable(work)
    os.sync()  # what the run before left to be written is not this one's
    began = time.perf_counter()
    result = work()
    return result, time.perf_counter() - began


if __name__ == "__main__":
    main()
