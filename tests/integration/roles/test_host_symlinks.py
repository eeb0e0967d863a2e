from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.roles.bench import Bench, Variables

pytestmark = pytest.mark.integration
TASK = "Links lead to the host"
VARIANT = "$(EXAMPLE_ETC_HOSTS:-/etc/hosts)"
LINKS = [{"path": "etc/passwd", "target": "/etc/passwd"}, {"path": "etc/hosts", "target": VARIANT}]
PLAIN = {"etc": "/", "etc/passwd": "-> /etc/passwd", "etc/hosts": "-> /etc/hosts"}
PUBLISHED = PLAIN | {"etc/hosts": f"-> {VARIANT}"}


def variables(bench: Bench, links: object = LINKS, **more: object) -> Variables:
    named = {f"host_symlinks_{name}": value for name, value in more.items()}
    return {"host_symlinks_prefix": str(bench.prefix), "host_symlinks_links": links} | named


def test_without_links_nothing_is_made(bench: Bench) -> None:
    (ran,) = bench.converge("host_symlinks", {"host_symlinks_prefix": str(bench.prefix)})
    assert (ran.changed, bench.files()) == ([], {})


def test_variants_are_plain_while_building_and_themselves_at_the_end(bench: Bench) -> None:
    building = variables(bench, variants=False)
    first, second = bench.converge("host_symlinks", building, building)
    assert (first.changed, second.changed) == ([TASK], [])
    assert bench.files() == PLAIN
    third, fourth = bench.converge("host_symlinks", variables(bench), variables(bench))
    assert (third.changed, fourth.changed) == ([TASK], [])
    assert third.results[1]["made"] == ["etc/hosts"]
    assert bench.files() == PUBLISHED


def test_a_file_of_a_package_that_may_be_about_to_go_stays_while_building_and_is_refused_at_the_end(bench: Bench) -> None:
    bench.write("etc/hosts", "a package's own")
    (building,) = bench.converge("host_symlinks", variables(bench, variants=False))
    assert building.changed == [TASK]
    assert (bench.prefix / "etc/hosts").read_text() == "a package's own"
    assert (bench.prefix / "etc/passwd").is_symlink()
    before = bench.files()
    error = bench.refusal("host_symlinks", variables(bench))
    assert error.cause == "etc/hosts is a file of the layer, and a link to the host is declared in its place"
    assert bench.files() == before


def test_an_empty_directory_gives_way_and_another_link_is_replaced(bench: Bench) -> None:
    (bench.prefix / "etc/hosts").mkdir(parents=True)
    bench.link("etc/passwd", "/dev/null")
    first, second = bench.converge("host_symlinks", variables(bench), variables(bench))
    assert (first.changed, second.changed) == ([TASK], [])
    assert bench.files() == PUBLISHED


def test_links_of_the_past_leave_unless_somebody_else_has_taken_their_place(bench: Bench) -> None:
    bench.link("etc/group", "/etc/group")
    bench.link("etc/hosts", "/etc/hosts")  # as it was while building
    bench.link("etc/resolv.conf", "a package's own")
    bench.write("etc/services", "a package's own")
    former = [
        {"path": "etc/group", "target": "/etc/group"},
        {"path": "etc/hosts", "target": VARIANT},
        {"path": "etc/resolv.conf", "target": "/etc/resolv.conf"},
        {"path": "etc/services", "target": "/etc/services"},
        {"path": "etc/never", "target": "/etc/never"},
    ]
    gone = variables(bench, [], former=former)
    first, second = bench.converge("host_symlinks", gone, gone)
    assert (first.changed, second.changed) == ([TASK], [])
    assert first.results[1]["removed"] == ["etc/group", "etc/hosts"]
    assert bench.files() == {
        "etc": "/",
        "etc/resolv.conf": "-> a package's own",
        "etc/services": "a package's own",
    }


def test_check_mode_shows_the_links_and_makes_none(bench: Bench) -> None:
    (ran,) = bench.converge("host_symlinks", variables(bench), check_mode=True)
    assert ran.changed == [TASK]
    assert f"etc/hosts -> {VARIANT}" in ran.diffs
    assert bench.files() == {}


def test_every_refusal_is_named_at_once_and_nothing_is_changed(bench: Bench, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    bench.link("lib", outside)
    bench.write("etc/passwd", "root:x:0:0\n")
    bench.write("etc/ssl/certs/ca.pem", "x\n")
    bench.write("etc/file", "x\n")
    before = bench.files()
    paths = ["../out", "/etc/group", "etc//x", "lib/evil", "etc/file/below", "etc/passwd", "etc/ssl/certs"]
    links = [{"path": path, "target": "/somewhere"} for path in paths]
    links += [
        {"path": "etc/hosts", "target": "$(HOSTS)"},
        {"path": "var", "target": "/var"},
        {"path": "var/log", "target": "/var/log"},
        {"path": "var", "target": "/other"},
    ]
    error = bench.refusal("host_symlinks", variables(bench, links))
    assert error.fact == f"role host_symlinks, task '{TASK}' failed"
    assert str(error.cause).splitlines() == [
        "'../out' is not a path below the prefix",
        "'/etc/group' is not a path below the prefix",
        "'etc//x' is not a path below the prefix",
        f"lib/evil lies outside the prefix: a link leads to {outside}",
        "etc/file/below: etc/file is not a directory",
        "var is declared more than once",
        "var/log lies below var, which is declared as a link",
        "etc/hosts: '$(HOSTS)' is neither a path nor a variant $(NAME:-/default)",
        "etc/passwd is a file of the layer, and a link to the host is declared in its place",
        "etc/ssl/certs is a directory of the layer, and a link to the host is declared in its place",
    ]
    assert bench.files() == before
    assert list(outside.iterdir()) == []


def test_a_link_without_a_target_is_a_mistake_of_the_caller(bench: Bench) -> None:
    error = bench.refusal("host_symlinks", variables(bench, [{"path": "etc/hosts"}]))
    assert error.cause == "Validation of arguments failed:\nmissing required arguments: target found in host_symlinks_links"
