"""What a store of binary packages holds, in every format that somebody reads it in."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from compatlayer.binaries.upkeep import Checked, Inspection, Verdict
from compatlayer.report.formats import pick, to_json
from compatlayer.report.text import Paint, count, printable, size


def listed(found: Inspection, format_name: str = "text", paint: Paint | None = None) -> str:
    """Every entry, as one document that ends with a newline. Raises ``UsageError`` for an unknown format, as all of these do."""
    return pick(_LISTED, format_name)(found, paint or Paint())


def verified(found: Inspection, format_name: str = "text", paint: Paint | None = None) -> str:
    """What is wrong in a store."""
    return pick(_VERIFIED, format_name)(found, paint or Paint())


def pruned(
    found: Inspection, gone: Collection[bytes], freed_bytes: int | None, format_name: str = "text", paint: Paint | None = None
) -> str:
    """What was deleted, or would be (``freed_bytes`` None)."""
    return pick(_PRUNED, format_name)(found, gone, freed_bytes, paint or Paint())


def _listed_text(found: Inspection, paint: Paint) -> str:
    lines = []
    for one in found.checked:
        entry = one.line.claimed
        tested = "  tested" if entry.key.tested else ""
        signed = f"signed by {one.signer}" if one.signer else paint.doubtful("not signed by a key that is trusted")
        lines.append(f"{paint.strong(entry.cpv)}  {entry.key.digest[:12]}{tested}\n")
        lines.append(f"  {size(entry.size_bytes)}, {signed}\n  {paint.faint(printable(entry.key.parts.get('prefix', '')))}\n")
    return "".join(lines) + _summary(found) + "\n"


def _verified_text(found: Inspection, paint: Paint) -> str:
    colours = {Verdict.DAMAGED: paint.bad, Verdict.UNTRUSTED: paint.doubtful}
    lines = [
        f"{colours[one.verdict](one.verdict)}  {one.line.claimed.cpv}: {printable(one.reason)}\n"
        for one in found.checked
        if one.verdict in colours
    ]
    lines += [f"{paint.bad('unreadable')}  index, {printable(said)}\n" for said in found.unreadable]
    lines += [f"{paint.doubtful('not named')}  {printable(str(path))}\n" for path in found.strangers]
    return "".join(lines) + _summary(found) + "\n"


def _pruned_text(found: Inspection, gone: Collection[bytes], freed_bytes: int | None, paint: Paint) -> str:
    lines = []
    for one in found.checked:
        why = _why_gone(one, gone)
        if why:
            lines.append(f"{paint.bad('delete')}  {one.line.claimed.cpv} {one.line.claimed.key.digest[:12]}: {why}\n")
    lines += [f"{paint.bad('delete')}  {printable(str(path))}: no entry names it\n" for path in found.strangers]
    lines += [f"{paint.bad('delete')}  index, {printable(said)}\n" for said in found.unreadable]
    done = "run it again with --yes to delete" if freed_bytes is None else f"{size(freed_bytes)} freed"
    said = f"{count(len(lines), 'entry', 'entries')} {'to delete' if freed_bytes is None else 'deleted'}"
    return "".join(lines) + (f"{said}; {done}\n" if lines else "nothing to delete\n")


def _why_gone(one: Checked, gone: Collection[bytes]) -> str:
    if one.verdict is Verdict.DAMAGED:
        return one.reason
    return "newer builds have replaced it" if one.line.raw in gone else ""


def _summary(found: Inspection) -> str:
    bytes_ = sum({one.line.claimed.sha256: one.line.claimed.size_bytes for one in found.checked}.values())
    said = f"{count(len(found.checked), 'package')}, {size(bytes_)}"
    for verdict in (Verdict.DAMAGED, Verdict.UNTRUSTED):
        number = sum(one.verdict is verdict for one in found.checked)
        said += f", {number:,} {verdict}" if number else ""
    return said


def _document(one: Checked) -> dict[str, object]:
    entry = one.line.claimed
    return {
        "package": entry.cpv,
        "key": entry.key.digest,
        "prefix": entry.key.parts.get("prefix"),
        "tested": entry.key.tested,
        "size_bytes": entry.size_bytes,
        "sha256": entry.sha256,
        "signed_by": one.signer or None,
        "verdict": one.verdict.value,
        "reason": one.reason or None,
    }


def _inspected_json(found: Inspection, _paint: Paint) -> str:
    return to_json(
        {
            "packages": [_document(one) for one in found.checked],
            "unreadable": list(found.unreadable),
            "not_named": [str(path) for path in found.strangers],
        }
    )


def _pruned_json(found: Inspection, gone: Collection[bytes], freed_bytes: int | None, _paint: Paint) -> str:
    return to_json(
        {
            "deleted": freed_bytes is not None,
            "freed_bytes": freed_bytes,
            "packages": [{**_document(one), "because": why} for one in found.checked if (why := _why_gone(one, gone))],
            "unreadable": list(found.unreadable),
            "not_named": [str(path) for path in found.strangers],
        }
    )


_LISTED: Mapping[str, Callable[[Inspection, Paint], str]] = {"text": _listed_text, "json": _inspected_json}
_VERIFIED: Mapping[str, Callable[[Inspection, Paint], str]] = {"text": _verified_text, "json": _inspected_json}
_PRUNED: Mapping[str, Callable[[Inspection, Collection[bytes], int | None, Paint], str]] = {
    "text": _pruned_text,
    "json": _pruned_json,
}
