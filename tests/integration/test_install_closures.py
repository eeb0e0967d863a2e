"""A closure is remembered for as long as nothing it depends on has changed, and never a moment longer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from compatlayer import closures
from compatlayer.declaration import load
from compatlayer.errors import ConvergeError
from compatlayer.gentoo.client import Worker
from compatlayer.gentoo.packages import Closure
from compatlayer.selection import select
from tests.tiny_layer import PART, TARGET, TinyLayer, tiny_layer

pytestmark = [pytest.mark.integration]


@pytest.fixture
def layer() -> Iterator[TinyLayer]:
    with tiny_layer() as layer:
        layer.package("app-misc/needed-1", slot="0/1", iuse="+plain fancy")
        layer.package("app-misc/wanted-1", rdepend="app-misc/needed:=", depend="app-misc/needed", licenses="MIT", restrict="test")
        layer.declare("app-misc/wanted")
        yield layer


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The roots that Portage was asked about."""
    roots: list[Path] = []
    real = Worker.closure

    def closure(self: Worker, root: Path, declared: object, *, system: bool = False) -> Closure:
        roots.append(root)
        return real(self, root, declared, system=system)  # type: ignore[arg-type]

    monkeypatch.setattr(Worker, "closure", closure)
    return roots


def resolve(layer: TinyLayer) -> Closure:
    declared = load.load(layer.root / "layer.yaml")
    return closures.resolve(select(declared, declared.versions[0], TARGET, layer.state), layer.state)


def test_what_is_remembered_is_what_portage_said(layer: TinyLayer, asked: list[Path]) -> None:
    first = resolve(layer)
    assert [package.id.cpv for package in first] == ["app-misc/needed-1", "app-misc/wanted-1"]
    assert resolve(layer) == first
    assert len(asked) == 1


CHANGES: dict[str, Callable[[TinyLayer], object]] = {
    "an ebuild": lambda layer: layer.package("app-misc/needed-2", slot="0/2"),
    "a mask of the repository": lambda layer: layer.repository.mask("app-misc/nothing\n"),
    "a profile": lambda layer: layer.repository.write(f"profiles/{TARGET.keyword}/package.use", "app-misc/needed fancy\n"),
    "the configuration": lambda layer: layer.config("package.use", "app-misc/needed fancy\n"),
    "the declaration": lambda layer: layer.declare("app-misc/needed"),
    "a damaged memory": lambda layer: (layer.state / "resolve" / f"{PART}.closure.json").write_text("{"),
}


@pytest.mark.parametrize("what", CHANGES)
def test_portage_is_asked_again_when_something_has_changed(layer: TinyLayer, asked: list[Path], what: str) -> None:
    resolve(layer)
    CHANGES[what](layer)
    resolve(layer)
    assert len(asked) == 2
    resolve(layer)
    assert len(asked) == 2


def test_a_refusal_is_not_remembered(layer: TinyLayer, asked: list[Path]) -> None:
    layer.config("package.mask", "app-misc/needed\n")
    for _ in range(2):
        with pytest.raises(ConvergeError):
            resolve(layer)
    assert len(asked) == 2
