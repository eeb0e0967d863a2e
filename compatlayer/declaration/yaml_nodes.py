"""YAML read the careful way: within limits, without tags, keeping the line of every value.

PyYAML's scanner, parser and composer give nodes; nothing is constructed but text, whole numbers, ``true``/``false``,
dates, lists and mappings. A plain scalar that YAML 1.1 readers would turn into something else (``12.0``, ``0123``,
``on``) becomes ``Unquoted``: whoever expects text there can say "quote it" instead of silently getting another value.

Limits, so that no input can exhaust the reader: ``MAX_BYTES``, ``MAX_DEPTH``, ``MAX_ALIASES``, and ``MAX_VALUES``
counted after aliases are expanded (the "billion laughs" are many values from few aliases).
"""

from __future__ import annotations

import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import yaml
from yaml.composer import Composer
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from yaml.parser import Parser
from yaml.reader import Reader
from yaml.resolver import Resolver
from yaml.scanner import Scanner

try:
    from yaml._yaml import CParser
except ImportError:
    _HAS_LIBYAML = False  # PyYAML can be built without
else:
    _HAS_LIBYAML = True

from compatlayer.errors import Location, Mistake

MAX_BYTES = 1024 * 1024
MAX_DEPTH = 20
MAX_ALIASES = 200
MAX_VALUES = 100_000

KeyPath = tuple[str | int, ...]

_PREFIX = "tag:yaml.org,2002:"
_PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_WHOLE_NUMBER = re.compile(r"-?(0|[1-9][0-9]{0,17})")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
# What YAML 1.1 calls a plain scalar of each tag, in words for a person.
_KINDS = {"int": "the number", "float": "the number", "bool": "the word", "timestamp": "the date", "null": "the null"}


@dataclass(frozen=True, slots=True)
class Unquoted:
    """A plain scalar that is not text to a YAML reader: its spelling, and what it is (``the number``)."""

    text: str
    kind: str

    def __str__(self) -> str:
        return f"{self.kind} {self.text}"


@dataclass(frozen=True, slots=True)
class Broken:
    """Stands where a value was refused; its mistake is already on the list, so nothing more is said about it."""


@dataclass(slots=True)
class Document:
    """One file as plain data. ``shown`` is its name in messages, ``lines`` the line of every key path (counting from
    1).

    ``data`` is ``Broken`` when the file as a whole could not be read. The line of a mapping's entry is its key's line,
    that of a list's item the line where the item starts; a value that comes from an alias has the line of its anchor.
    """

    shown: str
    data: Any = field(default_factory=Broken)
    lines: dict[KeyPath, int] = field(default_factory=dict)
    spellings: dict[KeyPath, str] = field(default_factory=dict)
    mistakes: list[Mistake] = field(default_factory=list)

    @property
    def readable(self) -> bool:
        """Whether there is a mapping to look into."""
        return isinstance(self.data, dict)

    def clip(self, path: KeyPath) -> KeyPath:
        """The longest leading part of ``path`` that exists in the file."""
        while path and path not in self.lines:
            path = path[:-1]
        return path

    def value(self, path: KeyPath) -> Any:
        """The value at an existing key path."""
        found = self.data
        for step in path:
            found = found[step]
        return found

    def location(self, path: KeyPath) -> Location:
        """Where a message about ``path`` points: the line of the value, and the key that holds it (an index of a list
        of scalars is left out, the line tells which).
        """
        path = self.clip(path)
        line = self.lines.get(path)
        if path and isinstance(path[-1], int) and not isinstance(self.value(path), dict | list):
            path = path[:-1]
        return Location(self.shown, line, show(path))

    def mistake(self, path: KeyPath, fact: str, hint: str | None = None) -> Mistake:
        """A mistake at ``path``."""
        return Mistake(self.location(path), fact, hint)


def show(path: KeyPath) -> str:
    """A key path as a person writes it: ``packages[3].include_on``, ``versions["2026.11"].engine``."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        elif _PLAIN_NAME.fullmatch(step):
            text += f".{step}" if text else step
        else:
            text += f'["{step}"]'
    return text


def read(file: Path, shown: str) -> Document:
    """Read one YAML file. Never raises for what the file holds or for a file that cannot be read: see ``mistakes``."""
    document = Document(shown)
    try:
        if not stat.S_ISREG(file.stat().st_mode):
            kind = "a directory" if file.is_dir() else "not a regular file"
            document.mistakes.append(document.mistake((), f"is {kind}, expected a YAML file"))
            return document
        with file.open("rb") as stream:
            raw = stream.read(MAX_BYTES + 1)
    except OSError as error:
        document.mistakes.append(document.mistake((), f"cannot be read: {error.strerror or error}"))
        return document
    return parse(raw, shown)


def parse(raw: bytes, shown: str) -> Document:
    """The same as ``read``, for the bytes of a file."""
    document = Document(shown)
    if len(raw) > MAX_BYTES:
        document.mistakes.append(document.mistake((), f"is larger than {MAX_BYTES} bytes", "split it into several sets"))
        return document
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        fact = f"is not UTF-8: byte 0x{raw[error.start]:02x} at offset {error.start}"
        document.mistakes.append(Mistake(Location(shown, line), fact, "save the file as UTF-8"))
        return document
    root = _compose(text, document)
    if root is not None:
        _Builder(document).build(root)
    return document


class _LimitError(Exception):
    """A limit was exceeded, at this line."""

    def __init__(self, fact: str, line: int, path: KeyPath = ()) -> None:
        super().__init__(fact)
        self.fact = fact
        self.line = line
        self.path = path


class _LimitedComposer(Composer):
    """PyYAML's composer, refusing depth and aliases before they are followed."""

    depth = 0
    aliases = 0

    def compose_node(self, parent: Node | None, index: Any) -> Node | None:
        event = self.peek_event()  # type: ignore[attr-defined]  # the parser's
        line = event.start_mark.line + 1
        if isinstance(event, yaml.AliasEvent):
            self.aliases += 1
            if self.aliases > MAX_ALIASES:
                raise _LimitError(f"uses more than {MAX_ALIASES} aliases", line)
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise _LimitError(f"is nested more than {MAX_DEPTH} levels deep", line)
        try:
            node: Node | None = Composer.compose_node(self, parent, index)
        finally:
            self.depth -= 1
        return node


class _NodeReader(Reader, Scanner, Parser, _LimitedComposer, Resolver):
    """PyYAML's loader up to its nodes."""

    def __init__(self, text: str) -> None:
        Reader.__init__(self, text)
        Scanner.__init__(self)
        Parser.__init__(self)
        _LimitedComposer.__init__(self)
        Resolver.__init__(self)


if _HAS_LIBYAML:

    class _QuickReader(_LimitedComposer, CParser, Resolver):
        """The same by libyaml, in a tenth of the time."""

        def __init__(self, text: str) -> None:
            CParser.__init__(self, text)
            _LimitedComposer.__init__(self)
            Resolver.__init__(self)


def _composed_quickly(text: str) -> Node | None:
    """The root node; None where libyaml is missing or sees a mistake, of which PyYAML's own parser says more."""
    if not _HAS_LIBYAML or "\t" in text:  # libyaml takes more tabs for blanks
        return None
    try:
        root: Node | None = _QuickReader(text).get_single_node()
    except (_LimitError, yaml.YAMLError, ValueError, OverflowError):
        return None
    return root


def _compose(text: str, document: Document) -> Node | None:
    """The document's root node; None (with a mistake noted) when it is not YAML, is empty, or breaks a limit."""
    quickly = _composed_quickly(text)
    if quickly is not None:
        return quickly
    line: int | None = None
    hint: str | None = None
    reader: _NodeReader | None = None
    try:
        reader = _NodeReader(text)
        root: Node | None = reader.get_single_node()
    except _LimitError as error:
        fact, line = error.fact, error.line
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, int(error.position)) + 1
        fact = f"is not YAML: the character U+{ord(text[error.position]):04X} is not allowed"
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else None
        problem = error.problem or error.context or "nothing can be made of it"
        # PyYAML splits some sentences: "expected …" is the context, "but found …" the problem.
        fact = f"is not YAML: {error.context + ', ' if error.context and problem.startswith('but ') else ''}{problem}"
        if r"'\t'" in problem:
            hint = "indent with spaces"
    except (yaml.YAMLError, ValueError, OverflowError):
        # PyYAML lets Python's own error through for what is too large: an escape ("\UFFFFFFFF"), a directive's version.
        line = reader.line + 1 if reader is not None else None
        fact = "is not YAML: an escape or a directive is out of range"
    else:
        if root is not None:
            return root
        fact, hint = "is empty", "docs/reference/layer.md shows what belongs in it"
    document.mistakes.append(Mistake(Location(document.shown, line), fact, hint))
    return None


class _Builder:
    """Turns nodes into plain data, noting the line of every key path and every mistake on the way."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.values = 0

    def build(self, root: Node) -> None:
        document = self.document
        document.lines[()] = root.start_mark.line + 1
        try:
            document.data = self.value(root, ())
        except _LimitError as error:
            document.data = Broken()
            document.mistakes = [Mistake(Location(document.shown, error.line), error.fact)]
            return
        if not isinstance(document.data, dict | Broken):
            document.mistakes.append(document.mistake((), "is not a mapping (key: value) at its top level"))
            document.data = Broken()

    def value(self, node: Node, path: KeyPath) -> Any:
        line = node.start_mark.line + 1
        self.values += 1
        if self.values > MAX_VALUES:
            raise _LimitError(f"holds more than {MAX_VALUES} values once its aliases are expanded", line)
        if len(path) >= MAX_DEPTH:
            raise _LimitError(f"is nested more than {MAX_DEPTH} levels deep", line)
        if isinstance(node, MappingNode) and node.tag == f"{_PREFIX}map":
            return self.mapping(node, path)
        if isinstance(node, SequenceNode) and node.tag == f"{_PREFIX}seq":
            return list(self.items(node, path))
        if isinstance(node, ScalarNode):
            found = self.scalar(node, path)
            # An empty value would pass for a key left out: `include_on:` without a target would mean everywhere.
            return self.refuse(path, line, "has no value", "give it one, or leave the key out") if found is None else found
        return self.refuse(path, line, f"unsupported tag '{_short(node.tag)}'", "leave the tag out")

    def items(self, node: SequenceNode, path: KeyPath) -> Iterator[Any]:
        for index, item in enumerate(node.value):
            self.document.lines[*path, index] = item.start_mark.line + 1
            yield self.value(item, (*path, index))

    def mapping(self, node: MappingNode, path: KeyPath) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            key = self.key(key_node, path, line)
            if key is None:
                continue
            here = (*path, key)
            if key in result:
                first = self.document.lines[here]
                fact = f"duplicate key '{key}', first given in line {first}"
                self.document.mistakes.append(Mistake(Location(self.document.shown, line, show(here)), fact, "keep one"))
                continue
            self.document.lines[here] = line
            result[key] = self.value(value_node, here)
        return result

    def key(self, node: Node, path: KeyPath, line: int) -> str | None:
        """A mapping's key; None when it cannot be one. A number is taken as it is spelled, and reported."""
        if isinstance(node, ScalarNode) and node.tag == f"{_PREFIX}merge":
            self.refuse(path, line, "merge keys (<<) are not supported", "write the keys out")
            return None
        value = self.scalar(node, path) if isinstance(node, ScalarNode) else None
        if isinstance(value, str):
            return value
        if isinstance(value, Broken):
            return None
        if isinstance(node, ScalarNode) and node.value:
            kind = value if isinstance(value, Unquoted) else f"{describe(value)}"
            self.refuse((*path, node.value), line, f"a key must be text, found {kind}", f'quote it: "{node.value}"')
            return str(node.value)
        self.refuse(path, line, "a key must be text")
        return None

    def scalar(self, node: ScalarNode, path: KeyPath) -> Any:  # one line for each kind
        text = str(node.value)
        kind = node.tag.removeprefix(_PREFIX)
        line = node.start_mark.line + 1
        bad = next((c for c in text if not (c.isprintable() or c in "\n\t\u00a0")), None)
        if bad is not None:
            return self.refuse(path, line, f"holds the character U+{ord(bad):04X}, which cannot be printed")
        self.document.spellings[path] = text
        if kind in ("str", "value"):
            return text
        if kind == "null":
            return None
        if kind == "bool" and text in ("true", "false"):
            return text == "true"
        if kind == "int" and _WHOLE_NUMBER.fullmatch(text):
            return int(text)
        if kind == "timestamp" and _DATE.fullmatch(text):
            try:
                return date.fromisoformat(text)
            except ValueError:
                return Unquoted(text, "the impossible date")
        if kind in _KINDS:
            return Unquoted(text, _KINDS[kind])
        return self.refuse(path, line, f"unsupported tag '{_short(node.tag)}'", "leave the tag out")

    def refuse(self, path: KeyPath, line: int, fact: str, hint: str | None = None) -> Broken:
        self.document.mistakes.append(Mistake(Location(self.document.shown, line, show(path)), fact, hint))
        return Broken()


def describe(value: Any) -> str:  # one line for each kind
    """A value in words, for "expected …, found …"."""
    match value:
        case Unquoted():
            return str(value)
        case None:
            return "nothing"
        case bool():
            return f"the truth value {str(value).lower()}"
        case int():
            return f"the number {value}"
        case date():
            return f"the date {value.isoformat()}"
        case str():
            return f"the text '{value}'"
        case list():
            return "a list"
        case _:
            return "a mapping"


def _short(tag: str) -> str:
    return f"!!{tag.removeprefix(_PREFIX)}" if tag.startswith(_PREFIX) else tag
