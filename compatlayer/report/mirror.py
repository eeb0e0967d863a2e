"""What was done to the mirror and what is in it, in every format that somebody reads it in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from compatlayer.report.formats import pick, to_json
from compatlayer.report.text import Paint, clock, count, printable, size

if TYPE_CHECKING:
    from compatlayer.mirror.bundle import Carried
    from compatlayer.mirror.check import Verified
    from compatlayer.mirror.fill import Filled, Missing
    from compatlayer.mirror.index import Entry
    from compatlayer.mirror.status import Status


def filled(result: Filled, trees: Sequence[Path] = (), format_name: str = "text", paint: Paint | None = None) -> str:
    """The result of a fill, and the bundles of ebuild trees, as one document that ends with a newline.

    Raises ``UsageError`` for an unknown format, as all of these do.
    """
    return pick(_FILLED, format_name)(result, trees, paint or Paint())


def verified(result: Verified, format_name: str = "text", paint: Paint | None = None) -> str:
    """What a verification found and repaired."""
    return pick(_VERIFIED, format_name)(result, paint or Paint())


def status(result: Status, format_name: str = "text", paint: Paint | None = None) -> str:
    """What is missing, what only we have, what is not needed any more."""
    return pick(_STATUS, format_name)(result, paint or Paint())


def pruned(found: Status, freed_bytes: int | None, format_name: str = "text", paint: Paint | None = None) -> str:
    """What was deleted, or would be (``freed_bytes`` None)."""
    return pick(_PRUNED, format_name)(found, freed_bytes, paint or Paint())


def carried(verb: str, result: Carried, format_name: str = "text", paint: Paint | None = None) -> str:
    """What a bundle holds; ``verb`` is ``exported`` or ``imported``."""
    return pick(_CARRIED, format_name)(verb, result, paint or Paint())


def _filled_text(result: Filled, trees: Sequence[Path], paint: Paint) -> str:
    lines = [_missing(one, paint) for one in result.missing]
    restricted = [wanted for wanted in result.wants.files.values() if str(wanted.restrict)]
    lines += [f"{paint.doubtful('restricted')}  {printable(one.name)}: RESTRICT={one.restrict}\n" for one in restricted]
    origins = Counter(one.origin for one in result.got)
    linked = origins.pop("", 0)
    said = [f"{count(number, 'file')} from {origin}" for origin, number in origins.most_common()]
    if linked:
        said.append(f"{count(linked, 'file')} from the mirror's own")
    if result.missing:
        said.append(paint.bad(f"{count(len(result.missing), 'file')} missing"))
    rate = result.fetched_bytes / result.elapsed_s if result.elapsed_s else 0
    if result.fetched_bytes:
        said.append(f"{size(result.fetched_bytes)} in {clock(result.elapsed_s)} ({size(int(rate))}/s)")
    if trees:
        said.append(count(len(trees), "ebuild tree"))
    whole = count(len(result.wants.files), "source file")
    return "".join(lines) + f"{whole}: {result.present} there already" + "".join(f", {one}" for one in said) + "\n"


def _filled_json(result: Filled, trees: Sequence[Path], _paint: Paint) -> str:
    return to_json(
        {
            "files": len(result.wants.files),
            "present": result.present,
            "fetched": [
                {"name": one.name, "size_bytes": one.size_bytes, "origin": one.origin or "store", "url": one.url}
                for one in result.got
            ],
            "missing": [missing_document(one) for one in result.missing],
            "restricted": [
                {"name": one.name, "restrict": str(one.restrict).split()}
                for one in result.wants.files.values()
                if str(one.restrict)
            ],
            "trees": [path.name for path in trees],
            "fetched_bytes": result.fetched_bytes,
            "elapsed_s": round(result.elapsed_s, 3),
        }
    )


def missing_document(one: Missing) -> dict[str, object]:
    """A missing file as plain data."""
    return {
        "name": one.wanted.name,
        "needed_by": [{"part": need.part, "package": need.package} for need in one.wanted.needs],
        "reason": one.reason,
        "attempts": [
            {"url": each.url, "origin": each.origin, "reason": each.reason, "times": each.times} for each in one.attempts
        ],
    }


def _missing(one: Missing, paint: Paint) -> str:
    who = ", ".join(dict.fromkeys(need.package for need in one.wanted.needs))
    reasons = "".join(f"  {printable(line)}\n" for line in one.reason.splitlines())
    return f"{paint.bad('missing')}  {printable(one.wanted.name)} (for {who})\n{reasons}"


def _verified_text(result: Verified, paint: Paint) -> str:
    lines = []
    for one in result.damage:
        where = f"; now {printable(str(one.quarantined))}" if one.quarantined else ""
        lines.append(f"{paint.bad('damaged')}  {printable(one.name)}: {one.what}{where}\n")
    if result.repaired is not None:
        lines += [_missing(one, paint) for one in result.repaired.missing]
    rate = size(int(result.bytes / result.elapsed_s)) if result.elapsed_s else "0 B"
    said = f"{count(result.files, 'file')} verified, {size(result.bytes)} in {clock(result.elapsed_s)} ({rate}/s)"
    if result.damage:
        said += f", {count(len(result.damage), 'file')} damaged"
    lines += [f"{paint.bad('lost')}  trees/{name}: no declared version pins it\n" for name in result.lost]
    if result.repaired is not None:
        said += f", {len(result.repaired.got)} repaired"
    return "".join(lines) + said + "\n"


def _verified_json(result: Verified, _paint: Paint) -> str:
    repaired = result.repaired
    return to_json(
        {
            "verified": result.files,
            "bytes": result.bytes,
            "damaged": [
                {"name": one.name, "what": one.what, "quarantined": str(one.quarantined) if one.quarantined else None}
                for one in result.damage
            ],
            "repaired": [one.name for one in repaired.got] if repaired else [],
            "missing": [missing_document(one) for one in repaired.missing] if repaired else [],
            "lost_trees": list(result.lost),
            "elapsed_s": round(result.elapsed_s, 3),
        }
    )


def _status_text(result: Status, paint: Paint) -> str:
    lines = []
    for wanted in result.missing:
        who = ", ".join(dict.fromkeys(need.package for need in wanted.needs))
        lines.append(f"{paint.bad('missing')}  {printable(wanted.name)} (for {who})\n")
    lines += [f"{paint.bad('missing')}  trees/{name}\n" for name in result.trees.missing]
    lines += [
        f"{paint.doubtful('sole copy')}  {printable(entry.name)}: gone upstream, as of {entry.probed_at_utc}\n"
        for entry in result.sole_copies
    ]
    lines += [
        f"{paint.doubtful('restricted')}  {printable(wanted.name)}: RESTRICT={wanted.restrict}\n"
        for wanted in result.wants.files.values()
        if str(wanted.restrict)
    ]
    for one in result.unneeded:
        due = "prune would delete it" if one.is_due else f"kept for {result.grace_days} days"
        lines.append(f"{paint.faint('unneeded')}  {printable(one.name)}: since {one.since_utc}, {due}\n")
    for kept in result.kept:
        word, why = ("kept", "only") if kept.entry else ("not held", "not declared any more, but")
        lines.append(f"{paint.faint(word)}  {printable(kept.name)}: {why} for {_some(kept.revisions)}\n")
    trees = len(result.trees.held) + len(result.trees.missing)
    held_bytes = sum(entry.size_bytes for entry in result.held)
    said = [
        f"{len(result.held)} of {count(len(result.wants.files), 'source file')} held ({size(held_bytes)})",
        *([f"{len(result.trees.held)} of {count(trees, 'ebuild tree')}"] if trees else []),
        f"{len(result.missing) + len(result.trees.missing)} missing",
        f"{len(result.sole_copies)} sole {'copy' if len(result.sole_copies) == 1 else 'copies'}",
        f"{len(result.unneeded)} unneeded",
    ]
    if result.kept:
        said.append(f"{len(result.kept)} for published revisions only")
    if not result.probed:
        said.append("upstream not asked (--probe)")
    return "".join(lines) + ", ".join(said) + "\n"


def _some(names: Sequence[str]) -> str:
    """The first few of many names."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return printable(", ".join(names[:3]) + more)


def _status_json(result: Status, _paint: Paint) -> str:
    return to_json(
        {
            "wanted": len(result.wants.files),
            "held": [_held(one, result) for one in result.held],
            "missing": [
                {"name": one.name, "needed_by": [{"part": need.part, "package": need.package} for need in one.needs]}
                for one in result.missing
            ],
            "sole_copies": [one.name for one in result.sole_copies],
            "unneeded": [{"name": one.name, "since_utc": one.since_utc, "due": one.is_due} for one in result.unneeded],
            "kept": [{"name": one.name, "held": one.entry is not None, "revisions": list(one.revisions)} for one in result.kept],
            "trees": {"held": list(result.trees.held), "missing": list(result.trees.missing)},
            "probed": result.probed,
        }
    )


def _held(entry: Entry, result: Status) -> dict[str, object]:
    return {
        "name": entry.name,
        "size_bytes": entry.size_bytes,
        "origin": entry.origin,
        "url": entry.url,
        "upstream": entry.upstream,
        "fetched_at_utc": entry.fetched_at_utc,
        "verified_at_utc": entry.verified_at_utc,
        "restrict": str(entry.restrict).split(),
        "needed_by": [{"part": need.part, "package": need.package} for need in result.wants.files[entry.name].needs],
    }


def _pruned_text(found: Status, freed_bytes: int | None, paint: Paint) -> str:
    word = "would delete" if freed_bytes is None else "deleted"
    lines = [f"{paint.doubtful(word)}  {printable(one.name)}: not needed since {one.since_utc}\n" for one in found.due]
    lines += [f"{paint.doubtful(word)}  {printable(path.name)}: left in {path.parent.name}\n" for path in found.leftovers]
    number = len(found.due) + len(found.leftovers)
    waiting = len(found.unneeded) - len(found.due)
    said = f"{word} {count(number, 'file')}"
    if freed_bytes is not None:
        said += f", {size(freed_bytes)}"
    elif number:
        said += f", {size(sum(one.size_bytes for one in found.due))}; --yes deletes"
    if waiting:
        said += f"; {count(waiting, 'unneeded file')} within {found.grace_days} days of grace"
    return "".join(lines) + said + "\n"


def _pruned_json(found: Status, freed_bytes: int | None, _paint: Paint) -> str:
    return to_json(
        {
            "deleted": freed_bytes is not None,
            "files": [{"name": one.name, "since_utc": one.since_utc} for one in found.due],
            "leftovers": [str(path) for path in found.leftovers],
            "freed_bytes": freed_bytes,
            "grace_days": found.grace_days,
        }
    )


def _carried_text(verb: str, result: Carried, paint: Paint) -> str:
    lines = [f"{paint.doubtful('left out')}  {printable(name)}: RESTRICT keeps it off mirrors\n" for name in result.left_out]
    lines += [f"{paint.doubtful('put aside')}  {printable(name)}: the mirror has another by that name\n" for name in result.aside]
    trees = f", {count(result.trees, 'ebuild tree')}" if result.trees else ""
    return "".join(lines) + f"{verb} {count(result.files, 'source file')}{trees}, {size(result.bytes)}\n"


def _carried_json(verb: str, result: Carried, _paint: Paint) -> str:
    return to_json(
        {
            "did": verb,
            "files": result.files,
            "trees": result.trees,
            "bytes": result.bytes,
            "left_out": list(result.left_out),
            "aside": list(result.aside),
        }
    )


_FILLED: Mapping[str, Callable[[Filled, Sequence[Path], Paint], str]] = {"text": _filled_text, "json": _filled_json}
_VERIFIED: Mapping[str, Callable[[Verified, Paint], str]] = {"text": _verified_text, "json": _verified_json}
_STATUS: Mapping[str, Callable[[Status, Paint], str]] = {"text": _status_text, "json": _status_json}
_PRUNED: Mapping[str, Callable[[Status, int | None, Paint], str]] = {"text": _pruned_text, "json": _pruned_json}
_CARRIED: Mapping[str, Callable[[str, Carried, Paint], str]] = {"text": _carried_text, "json": _carried_json}
