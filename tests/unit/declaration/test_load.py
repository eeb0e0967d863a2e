"""A valid declaration becomes exactly the values it says; no text whatever gives anything but a layer or its mistakes."""

from __future__ import annotations

import json
import re
import sys
import tempfile
from collections.abc import Iterator
from datetime import date
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from compatlayer import process
from compatlayer.declaration import names, schema
from compatlayer.declaration.load import load
from compatlayer.declaration.model import (
    TARGETS,
    AcceptedRisk,
    Backend,
    Binaries,
    Builder,
    Consumer,
    EngineName,
    Gates,
    HostLink,
    RepositoryDeclaration,
    Status,
)
from compatlayer.declaration.yaml_nodes import parse
from compatlayer.errors import DeclarationError
from tests.unit.declaration.example import LAYER, SET, Site, make_site

COMMIT = "0123456789abcdef0123456789abcdef01234567"
REPOSITORY = Path(__file__).parents[3]


def test_every_key_arrives_where_it_belongs(site: Site) -> None:
    layer = load(site.file)
    assert (layer.name, layer.root, layer.file) == ("example", site.root, site.file)
    assert layer.targets == (TARGETS["linux-x86_64"], TARGETS["linux-aarch64"])
    assert layer.mirrors == {"debian": ("https://example.org/debian",)}
    assert layer.repositories == {
        "test": RepositoryDeclaration(Backend.OSTREE, path=PurePosixPath(".compatlayer/repositories/test")),
        "production": RepositoryDeclaration(Backend.CVMFS, name="software.example.org"),
    }
    assert layer.binaries == Binaries(
        PurePosixPath(".compatlayer/binaries"), ("https://binaries.example.org/example",), (PurePosixPath("keys/builder.pub"),)
    )
    assert layer.gates == Gates("error", "high", True, True, 1, (PurePosixPath("keys/ops.pub"),))
    assert layer.accepted_risks == (AcceptedRisk("GLSA-202401-18", "minizip is not built", date(2027, 1, 31)),)
    path = "/cvmfs/software.example.org/versions/{version}/software"
    assert layer.consumers == (Consumer("software layer", path),)
    assert layer.builders == (Builder("linux-aarch64", "arm1.example.org", "builder", PurePosixPath("/scratch/cl"), 64),)


def test_every_key_of_a_version_arrives_where_it_belongs(site: Site) -> None:
    (version,) = load(site.file).versions
    assert (version.name, version.status, version.engine) == ("2026.11", Status.LIVE, EngineName.STANDALONE)
    assert version.tree is not None
    assert (version.tree.name, version.tree.url, version.tree.commit) == ("gentoo", "https://example.org/gentoo.git", COMMIT)
    assert [(overlay.name, overlay.path) for overlay in version.overlays] == [("example", PurePosixPath("overlay"))]
    assert str(version.overlays[0].location) == 'layer.yaml:11: versions["2026.11"].overlays[0]'
    assert (version.trusted_dirs, version.locales) == (("{prefix}/lib/override",), ("C.UTF-8", "en_US.UTF-8"))
    assert version.host_links == (
        HostLink(PurePosixPath("/etc/passwd")),
        HostLink(PurePosixPath("/etc/hosts"), "$(EXAMPLE_ETC_HOSTS:-/etc/hosts)"),
    )
    assert version.profile_for(TARGETS["linux-aarch64"]) == "gentoo:default/linux/arm64"
    (package_set,) = version.sets
    assert (package_set.name, str(package_set.file)) == ("example-2026.11", "sets/2026.11.yaml")
    lmod, psm2 = package_set.packages
    assert str(psm2.location) == "sets/2026.11.yaml:5: packages[1]"
    assert (psm2.atom, psm2.include_on) == ("=sys-fabric/opa-psm2-12.0.1::example", ("linux-x86_64",))
    assert (lmod.atom, lmod.reason) == ("sys-cluster/lmod", "users load software through environment modules")


def test_the_default_profile_is_that_of_the_main_repository(site: Site) -> None:
    site.replace("layer.yaml", '    profile: "gentoo:default/{os}/{keyword}"\n', "")
    assert load(site.file).versions[0].profile_for(TARGETS["linux-aarch64"]) == "gentoo:linux/aarch64"
    tree = f'    tree: {{name: gentoo, url: "https://example.org/gentoo.git", commit: {COMMIT}}}\n'
    site.replace("layer.yaml", tree, "")
    assert load(site.file).versions[0].profile_for(TARGETS["linux-aarch64"]) == "example:linux/aarch64"


def test_a_commit_in_capitals_is_taken_in_git_s_spelling(site: Site) -> None:
    site.replace("layer.yaml", COMMIT, COMMIT.upper())
    tree = load(site.file).versions[0].tree
    assert tree is not None
    assert tree.commit == COMMIT


def test_a_quoted_date_is_a_date(site: Site) -> None:
    site.replace("layer.yaml", "until: 2027-01-31", 'until: "2027-01-31"')
    assert load(site.file).accepted_risks[0].until == date(2027, 1, 31)


def test_an_alias_stands_for_what_it_names(site: Site) -> None:
    site.write(
        "sets/2026.11.yaml",
        "name: x\npackages:\n"
        "  - {name: a/b, include_on: &few [linux-x86_64], reason: y}\n  - {name: a/c, include_on: *few, reason: y}\n",
    )
    packages = load(site.file).versions[0].sets[0].packages
    assert [package.include_on for package in packages] == [("linux-x86_64",), ("linux-x86_64",)]


@pytest.mark.parametrize(
    ("text", "value"),
    [("64", 64), ("0", 0), ("-1", -1), ("true", True), ("'12.0'", "12.0"), ("!!str 12.0", "12.0"), ("1.2.3", "1.2.3")],
)
def test_a_scalar_is_what_it_looks_like(text: str, value: object) -> None:
    document = parse(f"key: {text}\n".encode(), "x")
    assert document.mistakes == []
    assert document.data == {"key": value}
    assert type(document.data["key"]) is type(value)


@pytest.mark.parametrize(
    "text", ["0123", "1_000", "0x10", "0b1", "1:30", "12.0", "1.0e+3", ".inf", "yes", "on", "No", "2026-11-01 10:00:00"]
)
def test_a_scalar_that_yaml_would_change_is_never_changed(site: Site, text: str) -> None:
    site.replace("sets/2026.11.yaml", '"12.0.1"', text)
    with pytest.raises(DeclarationError) as raised:
        load(site.file)
    (mistake,) = raised.value.mistakes
    assert mistake.hint == f'quote it: "{text}"'


# What PMS allows in names and versions, and what comes near.
_PARTS = st.sampled_from(
    ["a", "B", "0", "9", "_", "-", "+", ".", "1.2", "-1", "-r1", "_p1", "_rc", "1a", "ab", "/", ":", "~", " "]
)
_WORDS = st.lists(_PARTS, min_size=1, max_size=5).map("".join)


def _accepted(check: object, text: str) -> bool:
    assert callable(check)
    try:
        check(text)
    except names.WrongNameError:
        return False
    return True


def test_names_and_versions_are_those_that_portage_accepts() -> None:
    """Portage itself is asked, in its own process, about thousands of names near the edge."""
    found: set[tuple[str, str]] = set()

    @settings(max_examples=3000, database=None, derandomize=True)
    @given(_WORDS, _WORDS)
    def collect(one: str, other: str) -> None:
        found.add((one, other))

    collect()
    code = (
        "import json, sys; from portage.dep import isvalidatom; from portage.versions import ververify\n"
        "pairs = json.load(sys.stdin)\n"
        "found = [[isvalidatom(f'{a}/{b}') and not a.startswith('~'), bool(ververify(b))] for a, b in pairs]\n"
        "json.dump(found, sys.stdout)"
    )
    pairs = sorted(found)
    done = process.run([sys.executable, "-c", code], stdin_text=json.dumps(pairs))
    accepted = 0
    for (category, name), (atom, version) in zip(pairs, json.loads(done.stdout), strict=True):
        ours = _accepted(names.package, f"{category}/{name}")
        # A slot or a repository makes a valid atom, but not a name.
        assert ours == (atom and ":" not in f"{category}/{name}"), (category, name)
        assert _accepted(names.package_version, name) == version, name
        accepted += ours
    assert accepted > 100


_CHUNKS = st.sampled_from([
    "", "[", "]", "{", "}", ":", "- ", "\n", "\t", "&a ", "*a", "<<: ", "!!int ", "!x ", '"', "'", "|", ">", "#", "%", "@", "`",
    "---\n", "...\n", "? ", "~", "null", "0x", "1e9", "\\", "\0", "\ufeff", "\u2028", "é", "  ", "- - - ", "{a: ", "=", ",",
    "name", "{version}", "yes", "12.0", "2026-11-01", "linux-x86_64", "packages:", '"\\ud800"', "9" * 5000, "x" * 300,
    '"\\UFFFFFFFF"', "%YAML 9" + "9" * 5000 + "\n",
])  # fmt: skip

# What YAML 1.1 counts as one.
_LINE_BREAK = re.compile("\r\n|[\r\n\x85\u2028\u2029]")


@st.composite
def _mutations(draw: st.DrawFn, text: str) -> bytes:
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(text)))
        length = draw(st.integers(0, 12))
        chunk = draw(_CHUNKS | st.text(max_size=4))
        text = text[:start] + chunk + text[start + length :]
    raw = text.encode("utf-8", "surrogatepass")
    if draw(st.integers(0, 9)) == 0:
        raw += draw(st.binary(max_size=4))
    return raw


@pytest.fixture(scope="module")
def shared() -> Iterator[Site]:
    with tempfile.TemporaryDirectory(prefix="declaration-") as directory:
        yield make_site(Path(directory) / "site")


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(layer=st.just(LAYER.encode()) | _mutations(LAYER), packages=st.just(SET.encode()) | _mutations(SET))
def test_any_text_is_a_layer_or_its_mistakes(shared: Site, layer: bytes, packages: bytes) -> None:
    shared.write("layer.yaml", layer)
    shared.write("sets/2026.11.yaml", packages)
    try:
        found = load(shared.file)
    except DeclarationError as error:
        found = None
        mistakes = error.mistakes
    if found is None:
        assert mistakes
        for mistake in mistakes:
            # It can be printed, and points at a line of the file.
            str(mistake).encode()
            raw = {"layer.yaml": layer, "sets/2026.11.yaml": packages}.get(mistake.location.file, b"")
            lines = len(_LINE_BREAK.findall(raw.decode("utf-8", "replace"))) + 1
            assert mistake.location.line is None or 1 <= mistake.location.line <= lines
        return
    for version in found.versions:
        for target in found.targets:
            assert found.part(version, target).prefix.is_absolute()


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_any_bytes_are_a_document_or_its_mistakes(raw: bytes) -> None:
    document = parse(raw, "x")
    assert document.readable or document.mistakes


def test_the_schemas_know_every_key_and_choice() -> None:
    layer, package_set = schema.layer_schema(), schema.set_schema()
    assert layer["$schema"] == package_set["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert set(layer["properties"]) == {
        "name", "targets", "prefix", "versions", "mirrors", "binaries", "repositories", "gates", "accepted_risks", "consumers", "builders",
    }  # fmt: skip
    assert set(layer["required"]) == {"name", "targets", "prefix", "versions"}
    assert layer["properties"]["targets"]["items"]["enum"] == list(TARGETS)
    version = layer["$defs"]["VersionEntry"]
    assert version["properties"]["engine"]["enum"] == ["guest", "standalone", "bootstrap", "native"]
    assert version["additionalProperties"] is False
    package = package_set["$defs"]["PackageEntry"]
    assert set(package["required"]) == {"name", "reason"}
    assert set(package["properties"]) == {"name", "version", "overlay", "include_on", "exclude_on", "reason"}
    json.dumps([layer, package_set])


def test_the_reference_explains_every_key() -> None:
    text = (REPOSITORY / "docs/reference/layer.md").read_text()
    for document in (schema.layer_schema(), schema.set_schema()):
        for definition in (document, *document["$defs"].values()):
            for key in definition["properties"]:
                assert f"`{key}`" in text or f".{key}`" in text, key
    assert f"**{names.MAX_PREFIX_BYTES} bytes**" in text


def test_the_layer_of_this_repository_can_be_read() -> None:
    layer = load(REPOSITORY / "layer.yaml")
    assert [target.name for target in layer.targets] == ["linux-x86_64", "linux-aarch64", "linux-riscv64", "linux-ppc64le"]
    assert layer.versions[0].engine is EngineName.GUEST
