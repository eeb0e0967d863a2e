"""From a document and pydantic's errors to our mistakes: where, what, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from compatlayer.declaration.names import closest, suggest
from compatlayer.declaration.yaml_nodes import Broken, Document, KeyPath, Unquoted, describe
from compatlayer.errors import Mistake

_EXPECTED = {
    "string_type": "text",
    "int_type": "a whole number",
    "bool_type": "true or false",
    "date_type": "a date",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "a mapping (key: value)",
    "model_type": "a mapping (key: value)",
}

Entry = TypeVar("Entry", bound=BaseModel)


def validate(document: Document, model: type[Entry]) -> Entry | None:
    """The document as ``model``; None when it has mistakes, which are then on ``document.mistakes``."""
    if isinstance(document.data, Broken):
        return None
    try:
        return model.model_validate(document.data)
    except ValidationError as error:
        document.mistakes.extend(_mistakes(document, model, error))
        return None


def _mistakes(document: Document, model: type[BaseModel], error: ValidationError) -> Iterator[Mistake]:
    details = error.errors(include_url=False)
    misspelt = {key for detail in details if (key := _meant(model, detail)) is not None}
    for detail in details:
        # A misspelt key is reported where it stands, not as missing as well.
        if detail["type"] == "missing" and tuple(detail["loc"]) in misspelt:
            continue
        found = _mistake(document, model, detail)
        if found is not None:
            yield found


def _meant(model: type[BaseModel], detail: ErrorDetails) -> KeyPath | None:
    """The key an unknown key is taken for; None where there is none."""
    *path, key = detail["loc"]
    if detail["type"] != "extra_forbidden":
        return None
    close = closest(str(key), _properties(model, tuple(path)))
    return (*path, close) if close is not None else None


def _mistake(document: Document, model: type[BaseModel], detail: ErrorDetails) -> Mistake | None:
    path: KeyPath = tuple(step for step in detail["loc"] if step != "[key]")
    value = detail["input"]
    kind = detail["type"]
    if isinstance(value, Broken):
        return None
    if kind == "mistake":
        context = detail.get("ctx", {})
        return document.mistake(path, context["fact"], context["hint"])
    if kind == "missing":
        key = str(path[-1])
        description = _properties(model, path[:-1]).get(key, {}).get("description")
        return document.mistake(path[:-1], f"missing key '{key}'", f"{key}: {description}" if description else None)
    if kind == "extra_forbidden":
        known = _properties(model, path[:-1])
        return document.mistake(path, f"unknown key '{path[-1]}'", suggest(str(path[-1]), known, "keys"))
    expected = _EXPECTED.get(kind)
    if expected is None:
        return document.mistake(path, detail["msg"])
    return document.mistake(path, f"expected {expected}, found {describe(value)}", _type_hint(document, path, expected, value))


def _type_hint(document: Document, path: KeyPath, expected: str, value: Any) -> str | None:
    if expected == "text" and not isinstance(value, dict | list):
        return f'quote it: "{document.spellings.get(path, value)}"'
    if expected == "a list" and isinstance(value, str):
        return f"write [{value}]"
    if expected == "true or false":
        return "write true or false, without quotes"
    if expected == "a whole number" and isinstance(value, str | Unquoted):
        return "write it without quotes, leading zeros or fractions"
    if expected == "a date":
        return "write it as YYYY-MM-DD"
    return None


@cache
def _schema(model: type[BaseModel]) -> dict[str, Any]:
    return model.model_json_schema()


def _properties(model: type[BaseModel], path: KeyPath) -> dict[str, Any]:
    """The keys that may stand at ``path``, with their schemas."""
    root = _schema(model)
    nodes = [root]
    for step in path:
        nodes = [child for node in nodes for child in _children(_alternatives(root, node), step)]
    return {
        key: value
        for node in nodes
        for option in _alternatives(root, node)
        for key, value in option.get("properties", {}).items()
    }


def _alternatives(root: dict[str, Any], node: dict[str, Any]) -> list[dict[str, Any]]:
    while "$ref" in node:
        node = root["$defs"][node["$ref"].rpartition("/")[2]]
    if "anyOf" in node:
        return [option for alternative in node["anyOf"] for option in _alternatives(root, alternative)]
    return [node]


def _children(options: list[dict[str, Any]], step: str | int) -> Iterator[dict[str, Any]]:
    for option in options:
        if isinstance(step, int):
            child = option.get("items")
        else:
            child = option.get("properties", {}).get(step, option.get("additionalProperties"))
        if isinstance(child, dict):
            yield child
        # A mapping whose keys have a pattern of their own carries its values here.
        elif isinstance(step, str):
            yield from option.get("patternProperties", {}).values()
