from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from compatlayer.declaration import sets
from compatlayer.declaration.load import load
from compatlayer.declaration.model import TARGETS, Layer
from compatlayer.errors import DeclarationError
from compatlayer.takeover import from_eessi, scaffold
from compatlayer.takeover.eessi_words import Words
from tests.unit.takeover import eessi_data


def take_over(directory: Path, *documents: str) -> tuple[Layer, list[str]]:
    """The layer made of these files, and the notes."""
    directory.mkdir(parents=True, exist_ok=True)
    files = []
    for index, text in enumerate(documents):
        files.append(directory / f"{index}.yml")
        files[-1].write_text(text)
    taken = from_eessi.read_files(files)
    return scaffold.write(directory / "layer", scaffold.files_of(taken.layer)), [str(note) for note in taken.notes]


def test_eessis_published_sets_are_rendered_to_the_byte(tmp_path: Path) -> None:
    layer, _ = take_over(tmp_path, eessi_data.document())
    rendered = {path.name: path.read_bytes() for path in (layer.root / "overlay/metadata/sets").iterdir()}
    assert {name: hashlib.sha256(text).hexdigest() for name, text in rendered.items()} == eessi_data.PUBLISHED_SHA256


def test_every_set_becomes_a_version_in_order_and_every_reason_is_still_to_be_written(tmp_path: Path) -> None:
    layer, _ = take_over(tmp_path, eessi_data.document())
    assert [version.name for version in layer.versions] == ["2023.06", "2025.06"]
    assert [target.name for target in layer.targets] == list(eessi_data.ARCHS)
    packages = [package for version in layer.versions for one in version.sets for package in one.packages]
    assert len(packages) == 43
    assert {package.reason for package in packages} == {"TODO"}
    assert len(sets.todo_reasons(layer)) == 43


def test_a_target_that_is_not_listed_is_noted_once_and_changes_nothing(tmp_path: Path) -> None:
    _, notes = take_over(tmp_path, eessi_data.document())
    assert [note.partition(": ")[2] for note in notes] == [
        "eessi_sets[0].packages: macos-aarch64, macos-x86_64: named by packages, but not among the targets; left out, "
        "which changes nothing",
        "eessi_sets[1].packages: macos-aarch64, macos-x86_64: named by packages, but not among the targets; left out, "
        "which changes nothing",
    ]


NAMES = st.lists(st.sampled_from([f"cat-{letter}/name{digit}" for letter in "ab" for digit in range(6)]), unique=True, max_size=8)
SOME_TARGETS = st.lists(st.sampled_from([*TARGETS, "linux-armv7l"]), unique=True, max_size=4)


@st.composite
def documents(draw: st.DrawFn) -> dict[str, object]:
    """Any data of EESSI's shape that its generator can render."""
    packages = []
    for name in draw(NAMES):
        package: dict[str, object] = {"name": name}
        if draw(st.booleans()):
            package["version"] = draw(st.sampled_from(["1", "1.2.3", "0.9.12-r2", "2.0_rc1", "12a", 3, 1.5, 10.0]))
        if draw(st.booleans()):
            package["overlay"] = draw(st.sampled_from(["eessi", "gentoo", "other"]))
        for key in ("include_on", "exclude_on"):
            if draw(st.booleans()):
                package[key] = draw(SOME_TARGETS)
        if draw(st.integers(0, 9)) == 0:
            package["include_on"] = draw(st.sampled_from(list(TARGETS)))
        packages.append(package)
    archs = draw(st.lists(st.sampled_from(list(TARGETS)), unique=True, min_size=1))
    return {"eessi_archs": archs, "eessi_sets": [{"name": "eessi-2026.11", "packages": packages}]}


def expected(data: dict[str, object]) -> dict[str, str]:
    """The rules, as EESSI states them: a package is left out where it is excluded, and where others are included."""
    rendered = {}
    (one,) = data["eessi_sets"]  # type: ignore[misc]
    for arch in data["eessi_archs"]:  # type: ignore[attr-defined]
        lines = []
        for package in one["packages"]:
            if arch in package.get("exclude_on", ()) or ("include_on" in package and arch not in package["include_on"]):
                continue
            version = f"-{package['version']}" if "version" in package else ""
            overlay = f"::{package['overlay']}" if "overlay" in package else ""
            lines.append(f"{'=' if version else ''}{package['name']}{version}{overlay}\n")
        rendered[f"{one['name']}-{arch}"] = "".join(lines)
    return rendered


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(documents())
def test_any_data_render_by_eessis_rules(tmp_path_factory: pytest.TempPathFactory, data: dict[str, object]) -> None:
    layer, _ = take_over(tmp_path_factory.mktemp("any"), yaml.safe_dump(data, sort_keys=False))
    assert dict(sets.render(layer)) == expected(data)


def one_package(line: str, archs: str = "[linux-x86_64, linux-aarch64]") -> str:
    return f"eessi_archs: {archs}\neessi_sets:\n  - name: eessi-1\n    packages:\n      - {line}\n"


@pytest.mark.parametrize(
    ("line", "mistake"),
    [
        ("{version: 1}", "0.yml:5: eessi_sets[0].packages[0]: missing key 'name'"),
        (
            "{name: =a/b-1}",
            "0.yml:5: eessi_sets[0].packages[0].name: '=a/b-1' is not a package name: it starts with the operator '='",
        ),
        ("{name: 'a/b:5'}", "0.yml:5: eessi_sets[0].packages[0].name: 'a/b:5' is not a package name: it names a slot"),
        ("{name: a/b, version: v1}", "0.yml:5: eessi_sets[0].packages[0].version: 'v1' is not a package version"),
        ("{name: a/b, version: 2026-01-02}", "0.yml:5: eessi_sets[0].packages[0].version: '2026-01-02' is not a package version"),
        (
            "{name: a/b, include_on: 5}",
            "0.yml:5: eessi_sets[0].packages[0].include_on: expected a list of targets, found the number 5",
        ),
        ("{name: a/b, include_on: }", "0.yml:5: eessi_sets[0].packages[0].include_on: has no value"),
        ("a/b", "0.yml:5: eessi_sets[0].packages: expected a package (name: category/name), found the text 'a/b'"),
    ],
)
def test_a_package_that_cannot_be_declared_is_a_mistake_with_its_line(tmp_path: Path, line: str, mistake: str) -> None:
    with pytest.raises(DeclarationError) as caught:
        take_over(tmp_path, one_package(line))
    assert mistake in {str(one).splitlines()[0].removeprefix(f"{tmp_path}/") for one in caught.value.mistakes}
    assert not (tmp_path / "layer").exists()


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("packages: []\n", "0.yml:1: holds neither eessi_sets nor prefix_packages"),
        ("eessi_sets: []\neessi_archs: [linux-x86_64]\n", "0.yml:1: eessi_sets: is empty"),
        ("eessi_sets: [{name: a-1, packages: []}]\n", "0.yml:1: missing key 'eessi_archs'"),
        (
            "eessi_archs: [linux-x86]\neessi_sets: [{name: a-1, packages: []}]\n",
            "0.yml:1: eessi_archs: unknown target 'linux-x86'",
        ),
        (
            "eessi_archs: [linux-x86_64]\neessi_sets:\n- {name: a-1, packages: []}\n- {name: a-1, packages: []}\n",
            "0.yml:4: eessi_sets[1].name: duplicate set 'a-1', first given in line 3",
        ),
        ("prefix_packages: []\n", "0.yml:1: missing key 'eessi_version'"),
        ("eessi_version: '2023.06'\n", "0.yml:1: eessi_version: version 2023.06 has no packages here"),
        ("{", "0.yml:1: is not YAML: expected the node content, but found '<stream end>'"),
    ],
)
def test_a_file_of_another_shape_is_a_mistake(tmp_path: Path, text: str, mistake: str) -> None:
    with pytest.raises(DeclarationError) as caught:
        take_over(tmp_path, text)
    assert mistake in {str(one).splitlines()[0].removeprefix(f"{tmp_path}/") for one in caught.value.mistakes}


def test_a_number_for_a_version_is_taken_as_eessis_generator_prints_it_and_noted(tmp_path: Path) -> None:
    layer, notes = take_over(tmp_path, one_package("{name: a/b, version: 1.10}"))
    assert sets.render(layer)["eessi-1-linux-x86_64"] == "=a/b-1.1\n"
    assert notes == [
        f"{tmp_path}/0.yml:5: eessi_sets[0].packages[0].version: 1.10 is not text to a YAML reader: EESSI's generator prints 1.1, "
        'and so it is taken over\n  hint: if 1.10 was meant, write "1.10" into the set'
    ]


def test_a_package_on_no_listed_target_stays_as_a_comment(tmp_path: Path) -> None:
    layer, notes = take_over(tmp_path, one_package("{name: a/b, include_on: [macos-x86_64]}"))
    assert "# a/b: on no target that the layer lists" in (layer.root / "sets/eessi-1.yaml").read_text()
    assert any("'a/b' is on no listed target" in note for note in notes)
    assert set(sets.render(layer).values()) == {""}


VARIABLES = """\
eessi_version: "2026.06"
gentoo_git_commit: 0123456789abcdef0123456789abcdef01234567
prefix_make_conf_files:
custom_overlays:
  - name: eessi
    source: git
    url: https://example.org/gentoo-overlay.git
    commit: 89abcdef0123456789abcdef0123456789abcdef
prefix_user_defined_trusted_dirs:
  - "/cvmfs/{{ cvmfs_repository }}/versions/{{ eessi_version }}/compat/{{ eessi_host_os }}/{{ eessi_host_arch }}/lib/override"
  - "/cvmfs/{{ cvmfs_repository }}/host_injections/{{eessi_version}}/{{ eessi_host_arch }}/lib"
  - "{{ lookup('env', 'HOME') }}/lib"
  - /opt/override
symlinks_to_host:
  - /etc/passwd
  - dest: "{{ gentoo_prefix_path }}/etc/hosts"
    src: "$(EESSI_{{ eessi_version | replace('.', '') }}_ETC_HOSTS:-{{ compat_defaults_dir }}/etc/hosts)"
  - dest: "{{ gentoo_prefix_path }}/etc/group"
    src: /etc/group
  - dest: "{{ gentoo_prefix_path }}/etc/{{ secret }}"
    src: /etc/shadow
  - dest: /usr/lib/outside
    src: "$(A)"
  - src: /etc/shadow
prefix_mask_packages: |
  >=sys-devel/gcc-15
prefix_packages:
  - name: app-arch/7zip
  - name: dev-util/direnv
    version: 2.37.1
    overlay: eessi
  - name: "{{ secret }}"
  - name: sys-fabric/opa-psm2
    include_on:
      - linux-x86_64
"""


def test_a_versions_variables_bring_packages_and_pins(tmp_path: Path) -> None:
    layer, notes = take_over(tmp_path, VARIABLES)
    (version,) = layer.versions
    assert version.name == "2026.06"
    assert version.tree is not None
    assert (version.tree.url, version.tree.commit) == (from_eessi.TREE_URL, "0123456789abcdef0123456789abcdef01234567")
    assert [(one.name, one.commit) for one in version.overlays] == [
        ("site", None),
        ("eessi", "89abcdef0123456789abcdef0123456789abcdef"),
    ]
    assert version.trusted_dirs == (
        "{prefix}/lib/override",
        "/cvmfs/software.eessi.io/host_injections/2026.06/{arch}/lib",
        "/opt/override",
    )
    assert version.trusted_directories(layer.part(version, layer.targets[0]))[:2] == (
        "/cvmfs/software.eessi.io/versions/2026.06/compat/linux/aarch64/lib/override",
        "/cvmfs/software.eessi.io/host_injections/2026.06/aarch64/lib",
    )
    assert {str(link.path): link.target for link in version.host_links} == {
        "/etc/passwd": None,
        "/etc/hosts": "$(EESSI_202606_ETC_HOSTS:-/cvmfs/software.eessi.io/defaults/compat/etc/hosts)",
        "/etc/group": None,
    }
    rendered = sets.render(layer)
    assert rendered["eessi-2026.06-linux-x86_64"] == "app-arch/7zip\n=dev-util/direnv-2.37.1::eessi\nsys-fabric/opa-psm2\n"
    assert rendered["eessi-2026.06-linux-aarch64"] == "app-arch/7zip\n=dev-util/direnv-2.37.1::eessi\n"
    assert any("names no architectures; taken: linux-aarch64, linux-x86_64, linux-riscv64" in note for note in notes)


def test_jinja_is_reported_and_never_carried_out(tmp_path: Path) -> None:
    layer, notes = take_over(tmp_path, VARIABLES)
    jinja = [note.partition(": ")[2].partition("\n")[0] for note in notes if "Jinja" in note]
    assert jinja == [
        "prefix_packages[2]: '{{ secret }}' holds a Jinja template, which is not carried out",
        "prefix_user_defined_trusted_dirs: holds a Jinja template, which is not carried out: left out",
        "symlinks_to_host[3]: holds a Jinja template, which is not carried out: left out",
    ]
    assert "# {{ secret }}: held a Jinja template" in (layer.root / "sets/eessi-2026.06.yaml").read_text()


def test_a_link_that_cannot_be_is_noted_and_left_out(tmp_path: Path) -> None:
    _, notes = take_over(tmp_path, VARIABLES)
    noted = [note.partition(": ")[2].partition("\n")[0] for note in notes if "symlinks_to_host" in note]
    assert noted[1:] == [
        "symlinks_to_host[4]: '$(A)' is not a variant link: left out",
        "symlinks_to_host[5]: expected a path, or a link with dest and src: left out",
    ]


def test_links_are_plain_where_eessis_variables_say_so(tmp_path: Path) -> None:
    layer, _ = take_over(tmp_path, f"create_variant_symlinks: false\ncvmfs_repository: soft.example.org\n{VARIABLES}")
    assert {str(link.path): link.target for link in layer.versions[0].host_links} == {
        "/etc/passwd": None,
        "/etc/hosts": "/cvmfs/soft.example.org/defaults/compat/etc/hosts",
        "/etc/group": None,
    }
    assert layer.versions[0].trusted_dirs[0] == "{prefix}/lib/override"


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("/cvmfs/{{cvmfs_repository}}/x", "/cvmfs/soft.example.org/x"),
        ("{{  gentoo_prefix_path  }}/lib", "{prefix}/lib"),
        ("{{ eessi_version | replace('.', '_') }}", "2026_06"),
        ("{{ eessi_version | upper }}", "{{ eessi_version | upper }}"),
        ("{{ eessi_version + secret }}", "{{ eessi_version + secret }}"),
        ("{{ ansible_env.HOME }}/{{ eessi_host_os }}", "{{ ansible_env.HOME }}/{os}"),
        ("{% if eessi_version %}", "{% if eessi_version %}"),
        ("/plain", "/plain"),
    ],
)
def test_only_known_variables_are_put_in(text: str, filled: str) -> None:
    assert Words("soft.example.org", "2026.06").fill(text) == filled


def test_set_file_and_variables_are_one_layer(tmp_path: Path) -> None:
    pins = 'eessi_version: "2023.06"\ngentoo_git_commit: 0123456789abcdef0123456789abcdef01234567\n'
    layer, _ = take_over(tmp_path, pins, eessi_data.document(), VARIABLES)
    assert [version.name for version in layer.versions] == ["2023.06", "2025.06", "2026.06"]
    assert [version.tree is not None for version in layer.versions] == [True, False, True]
    assert load(layer.file).versions == layer.versions
