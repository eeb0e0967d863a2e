"""Two builds side by side, in every format that somebody reads it in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping

from compatlayer.rebuild.circumstances import NOT_VARIED
from compatlayer.rebuild.compare import Difference
from compatlayer.rebuild.sequence import Rebuilt
from compatlayer.report.formats import pick, to_json
from compatlayer.report.text import Paint, clock, count, printable, wrapped


def render(result: Rebuilt, format_name: str = "text", paint: Paint | None = None) -> str:
    """The result as one document that ends with a newline. Raises ``UsageError`` for an unknown format."""
    return pick(RENDERERS, format_name)(result, paint or Paint())


def text(result: Rebuilt, paint: Paint) -> str:
    """Each differing path by package, what was varied, and the verdict with both roots."""
    found = result.comparison
    lines: list[str] = []
    for package in sorted({one.package for one in found.differences}):
        lines.append(f"{paint.strong(printable(package) or 'no package')}\n")
        for one in found.differences:
            if one.package == package:
                lines += _difference(one, paint)
    if result.circumstances:
        lines.append("varied between the two builds, beside the time\n")
        lines += [
            f"  {one.name:<16} {printable(one.first)} / {printable(one.second)}\n"
            for one in result.circumstances
            if one.is_varied
        ]
        lines.append("not varied\n")
        lines += [f"  {one.name:<16} {printable(one.first)}\n" for one in result.circumstances if not one.is_varied]
        for name, why in NOT_VARIED.items():
            lines.append(wrapped(why, first=f"  {name}: ", indent="    ") + "\n")
    return "".join([*lines, *_verdict(result, paint)])


def _difference(one: Difference, paint: Paint) -> list[str]:
    what = f"{', '.join(one.aspects)}: {', '.join(one.causes)}"
    sides = paint.faint(f"    {printable(one.first)}  |  {printable(one.second)}")
    return [f"  {printable(one.path)}\n", f"    {paint.doubtful(what)}\n", f"{sides}\n"]


def _verdict(result: Rebuilt, paint: Paint) -> list[str]:
    found = result.comparison
    lines = [f"  {found.first_root}  {printable(result.first)}\n", f"  {found.second_root}  {printable(result.second)}\n"]
    took = f" ({clock(result.elapsed_s)})"
    if found.is_equal:
        return [f"{result.part}: {paint.good('equal')}, {count(found.entries, 'path')}{took}\n", *lines]
    causes = Counter(cause for one in found.differences for cause in one.causes)
    lines += [f"  {number:>5,}  {cause}\n" for cause, number in causes.most_common()]
    if result.run_directory:
        lines.append(f"  files of both builds: {result.run_directory}\n")
    if result.silent is None:
        lines.append(paint.faint("  diffoscope is not installed: what is different inside the files is not shown") + "\n")
    else:
        lines += [f"  diffoscope says nothing of {printable(path)}: {printable(why)}\n" for path, why in result.silent.items()]
    said = f"{count(len(found.differences), 'path')} of {found.entries:,} differ"
    return [f"{result.part}: {paint.bad(said)}{took}\n", *lines]


def as_json(result: Rebuilt, _paint: Paint) -> str:
    """``{part, equal, first, second, entries, differences, circumstances, not_varied, run, diffoscope, elapsed_s}``."""
    found = result.comparison
    return to_json(
        {
            "part": str(result.part),
            "equal": found.is_equal,
            "first": {"name": result.first, "root": found.first_root},
            "second": {"name": result.second, "root": found.second_root},
            "entries": found.entries,
            "differences": [
                {
                    "path": one.path,
                    "package": one.package or None,
                    "aspects": list(one.aspects),
                    "causes": list(one.causes),
                    "first": one.first,
                    "second": one.second,
                }
                for one in found.differences
            ],
            "circumstances": [
                {"name": one.name, "first": one.first, "second": one.second, "varied": one.is_varied}
                for one in result.circumstances
            ],
            "not_varied": NOT_VARIED if result.circumstances else None,
            "run": str(result.run_directory) if result.run_directory else None,
            "diffoscope": None if result.silent is None else {"silent": result.silent},
            "elapsed_s": round(result.elapsed_s, 2),
        }
    )


RENDERERS: Mapping[str, Callable[[Rebuilt, Paint], str]] = {"text": text, "json": as_json}
