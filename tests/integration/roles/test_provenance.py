from __future__ import annotations

import json

import pytest

from tests.integration.roles.bench import Bench, Variables

pytestmark = pytest.mark.integration
RECORD = "usr/share/compatlayer/provenance.json"
DOCUMENT = {"version": "2026.11", "packages": [{"cpv": "app-misc/a-1", "use": []}], "configuration_sha256": "00"}


def variables(bench: Bench, **more: object) -> Variables:
    return {"provenance_prefix": str(bench.prefix), "provenance_document": DOCUMENT} | more


def test_the_record_says_what_it_was_given_and_a_second_run_leaves_it_alone(bench: Bench) -> None:
    first, second = bench.converge("provenance", variables(bench), variables(bench))
    assert first.changed == ["What the layer was made from is recorded in it"]
    assert second.changed == []
    text = (bench.prefix / RECORD).read_text()
    assert json.loads(text) == DOCUMENT
    assert text == json.dumps(DOCUMENT, indent=2, sort_keys=True) + "\n"
    assert (bench.prefix / RECORD).stat().st_mode & 0o777 == 0o644


def test_another_place_and_another_document_are_taken(bench: Bench) -> None:
    other = variables(bench, provenance_path="etc/made-of.json", provenance_document={"version": "1"})
    first, second = bench.converge("provenance", other, other)
    assert (len(first.changed), second.changed) == (1, [])
    assert bench.files() == {"etc": "/", "etc/made-of.json": '{\n  "version": "1"\n}\n'}


def test_without_a_document_nothing_is_written(bench: Bench) -> None:
    error = bench.refusal("provenance", {"provenance_prefix": str(bench.prefix)})
    assert error.cause == "Validation of arguments failed:\nmissing required arguments: provenance_document"
    assert bench.files() == {}


def test_a_record_that_cannot_be_written_is_named(bench: Bench) -> None:
    bench.write("usr/share", "a file where a directory should be\n")
    error = bench.refusal("provenance", variables(bench))
    assert error.fact == "role provenance, task 'What the layer was made from is recorded in it' failed"
    assert f"{bench.prefix}/usr/share" in str(error.cause)
