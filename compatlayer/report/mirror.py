"""What was done to the mirror and what is in it, in every format that somebody reads it in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from compatlayer.mirror.fill import Filled, Missing
from compatlayer.report.formats import pick, to_json
from compatlayer.report.text import Paint, clock, count, printable, size


def filled(result: Filled, format_name: str = "text", paint: Paint | None = None) -> str:
    """The result of a fill as one document that ends with a newline. Raises ``UsageError`` for an unknown format."""
    return pick(_FILLED, format_name)(result, paint or Paint())


def _filled_text(result: Filled, paint: Paint) -> str:
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
    whole = count(len(result.wants.files), "source file")
    return "".join(lines) + f"{whole}: {result.present} there already" + "".join(f", {one}" for one in said) + "\n"


def _filled_json(result: Filled, _paint: Paint) -> str:
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
        "attempts": [{"url": each.url, "origin": each.origin, "reason": each.reason} for each in one.attempts],
    }


def _missing(one: Missing, paint: Paint) -> str:
    who = ", ".join(dict.fromkeys(need.package for need in one.wanted.needs))
    reasons = "".join(f"  {printable(line)}\n" for line in one.reason.splitlines())
    return f"{paint.bad('missing')}  {printable(one.wanted.name)} (for {who})\n{reasons}"


_FILLED: Mapping[str, Callable[[Filled, Paint], str]] = {"text": _filled_text, "json": _filled_json}
Lines = Sequence[str]
