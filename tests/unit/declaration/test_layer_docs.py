"""docs/reference/layer.md and the JSON Schemas beside it: written from the models that read a declaration."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
import yaml

ROOT = Path(__file__).parents[3]
REFERENCE = "docs/reference"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """As much of the checkout as the tool reads, to plant faults in."""
    for name in ("tools/layer-docs", f"{REFERENCE}/layer.md", f"{REFERENCE}/layer.schema.json", f"{REFERENCE}/set.schema.json"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    for name in ("__init__.py", "errors.py", "declaration"):
        source, target = ROOT / "compatlayer" / name, tmp_path / "compatlayer" / name
        target.parent.mkdir(exist_ok=True)
        shutil.copytree(source, target) if source.is_dir() else shutil.copy(source, target)
    return tmp_path


def run(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, root / "tools/layer-docs", *arguments], capture_output=True, text=True, check=False)


def edit(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert text.count(old) == 1
    file.write_text(text.replace(old, new))


def test_the_page_and_the_schemas_say_what_the_models_say() -> None:
    done = run(ROOT, "--check")
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_changed_description_makes_all_stale_until_they_are_written_again(checkout: Path) -> None:
    edit(checkout / "compatlayer/declaration/schema.py", "how many compilers at once", "how many cooks at once")
    stale = run(checkout, "--check")
    assert stale.returncode == 1
    assert stale.stdout.splitlines() == [
        f"{REFERENCE}/layer.md is stale: run tools/layer-docs",
        f"{REFERENCE}/layer.schema.json is stale: run tools/layer-docs",
    ]
    assert run(checkout).returncode == 0
    assert "| `jobs` | number | how many cooks at once |" in (checkout / REFERENCE / "layer.md").read_text()
    assert run(checkout, "--check").returncode == 0


def test_words_between_the_tables_are_kept(checkout: Path) -> None:
    page = checkout / REFERENCE / "layer.md"
    edit(page, "neither lies inside the other", "neither lies in the other")
    edit(page, "| **`host`** | text |", "| `host` | anything |")
    assert run(checkout).returncode == 0
    assert "neither lies in the other" in page.read_text()
    assert "| **`host`** | text |" in page.read_text()


def test_a_model_without_a_place_on_the_page_is_named_and_nothing_is_written(checkout: Path) -> None:
    page = checkout / REFERENCE / "layer.md"
    edit(page, "<!-- keys: BuilderEntry -->", "<!-- nothing -->")
    before = page.read_text()
    done = run(checkout)
    assert (done.returncode, done.stderr) == (1, "error: docs/reference/layer.md has no place for BuilderEntry\n")
    assert page.read_text() == before


def test_a_place_for_a_model_that_is_gone_is_named(checkout: Path) -> None:
    edit(
        checkout / REFERENCE / "layer.md",
        "<!-- keys: BuilderEntry -->",
        "<!-- keys: BuilderEntry -->\n<!-- end -->\n<!-- keys: Foo -->",
    )
    done = run(checkout, "--check")
    assert (done.returncode, done.stderr) == (1, "error: docs/reference/layer.md has a place for what is no model: Foo\n")


def schema(name: str) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(json.loads((ROOT / REFERENCE / f"{name}.schema.json").read_text()))


def test_an_editor_with_the_schemas_accepts_this_layer_and_shows_its_mistakes() -> None:
    document = yaml.safe_load((ROOT / "layer.yaml").read_text())
    schema("layer").validate(document)
    for file in (ROOT / "sets").iterdir():
        schema("set").validate(yaml.safe_load(file.read_text()))
    document["versions"]["2026.11"]["engin"] = "guest"
    (mistake,) = schema("layer").iter_errors(document)
    assert "'engin' was unexpected" in mistake.message
