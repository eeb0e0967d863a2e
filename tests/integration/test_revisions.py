"""From a set file to production and back, with real Portage, real views and real repositories."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.tiny_layer import PART, PREFIX, TinyLayer, tiny_layer

pytestmark = [pytest.mark.integration, pytest.mark.userns]

REPOSITORIES = """\
repositories:
  test: {backend: ostree, path: repositories/test}
  production: {backend: ostree, path: repositories/production}
gates: {verify: error}
"""


@pytest.fixture
def layer() -> Iterator[TinyLayer]:
    with tiny_layer() as layer:
        layer.package("app-misc/a-1")
        layer.package("app-misc/b-1")
        layer.declare("app-misc/a", "app-misc/b", more=REPOSITORIES)
        yield layer


def test_a_layer_is_published_promoted_changed_on_top_and_rolled_back(layer: TinyLayer) -> None:
    layer.install()
    layer.run("publish")
    promoted = layer.run("--format", "json", "promote").document
    assert [(gate["gate"], gate["passed"]) for gate in promoted["gates"]] == [("prefix", True), ("verify", True)]

    # Seen at the path where it will live, from hard links of the repository: nothing is copied.
    shown = layer.run("enter", "--revision", "1", "--", "/bin/cat", f"{PREFIX}/usr/share/tiny/a-0").out
    assert shown.strip() == "1"
    checkouts = list((layer.root / "repositories/test/extensions/compatlayer/checkouts").iterdir())
    assert len(checkouts) == 1
    assert (checkouts[0] / "usr/share/tiny/a-0").stat().st_nlink > 1
    assert layer.run("verify", "--revision", "production").code == 0

    # The next change stands on what was published: only it is built.
    layer.run("stage", "drop", "--yes")
    layer.package("app-misc/a-2")
    done = layer.install("--over", "test")
    assert [(one["action"], one["package"]) for one in done.document["actions"]] == [("upgrade", "app-misc/a")]
    assert layer.run("--format", "json", "stage", "list").document["stages"][0]["base"].startswith("test:")
    second = layer.run("--format", "json", "publish").document
    assert [(one["happened"], one["name"]) for one in second["section"]["packages"]] == [("upgraded", "app-misc/a")]
    assert _content(layer, "test", "a") == "2"
    assert _content(layer, "test", "b") == "1"
    assert not (_tree(layer, "test") / "var/db/pkg/app-misc/a-1").exists(), "Portage removed it, though times are not kept"
    layer.run("promote")

    rolled = layer.run("--format", "json", "rollback", f"{PART}.1").document
    assert rolled["revision"]["root"] == promoted["revision"]["root"]
    assert _content(layer, "production", "a") == "1"
    rows = layer.run("--format", "json", "history").document["revisions"]
    assert [(row["test"]["number"], [one["number"] for one in row["production"]], row["live"]) for row in rows] == [
        (2, [2], False),
        (1, [1, 3], True),
    ]
    assert "rolled back to" in (layer.root / f"changelogs/{PART}.md").read_text()


def test_a_stage_goes_on_after_it_was_published_and_takes_back_what_it_likes(layer: TinyLayer) -> None:
    layer.install()
    layer.run("publish")
    layer.run("stage", "drop", "--yes")
    layer.package("app-misc/a-2")
    layer.install("--over", "1")
    (layer.upper / "usr/share/tiny/by-hand").write_text("kept")
    layer.run("publish")
    assert _content(layer, "test", "a") == "2"
    # b is as it was all the time; by-hand goes, and a is taken back: its file comes from the tree below the stage.
    (layer.upper / "usr/share/tiny/by-hand").unlink()
    (layer.upper / "usr/share/tiny/a-0").unlink()
    layer.run("publish", "--override", "verify=taken back by hand")
    tree = _tree(layer, "test")
    assert sorted(path.name for path in (tree / "usr/share/tiny").iterdir()) == ["a-0", "b-0"]
    assert (tree / "usr/share/tiny/a-0").read_text().strip() == "1"
    assert "nothing to publish" in layer.run("publish").out


def test_a_stage_with_findings_is_not_published_unless_somebody_says_why(layer: TinyLayer) -> None:
    layer.install()
    (layer.upper / "usr/share/tiny/a-0").write_text("by hand")
    bundle = layer.root / "bundle.tar.zst"
    for arguments in ((), ("--to-bundle", str(bundle)), ("--override", "prefix=no such gate of a stage")):
        code = 2 if "--override" in arguments else 7
        refused = layer.run("publish", *arguments, code=code).err
        assert code == 2 or "publishing the stage is refused by verify; the test repository is unchanged" in refused
        assert code == 2 or "usr/share/tiny/a-0" in refused
    assert not bundle.exists()
    assert layer.run("--format", "json", "history").document["revisions"] == []

    published = layer.run("--format", "json", "publish", "--override", "verify=shown to upstream").document
    assert published["section"]["note"] == "verify overridden: shown to upstream"
    assert "verify overridden: shown to upstream" in layer.run("changelog").out
    assert "nothing to publish" in layer.run("publish").out, "where there is nothing to publish, no gate is asked"
    layer.run("promote", code=7)

    # Put right, it goes through; a layer that declares no such gate is not asked.
    (layer.upper / "usr/share/tiny/a-0").write_text("1\n")
    layer.declare("app-misc/a", "app-misc/b", more=REPOSITORIES.replace("verify: error", ""))
    (layer.upper / "usr/share/tiny/b-0").write_text("by hand")
    layer.run("publish")


def _tree(layer: TinyLayer, name: str) -> Path:
    layer.run("enter", "--revision", name, "--", "/bin/true")
    checkouts = layer.root / f"repositories/{name}/extensions/compatlayer/checkouts"
    return max(checkouts.iterdir(), key=lambda path: path.stat().st_ctime_ns)


def _content(layer: TinyLayer, name: str, package: str) -> str:
    return layer.run("enter", "--revision", name, "--", "/bin/cat", f"{PREFIX}/usr/share/tiny/{package}-0").out.strip()
