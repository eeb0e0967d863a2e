"""The one place where an error becomes text and an exit code."""

from __future__ import annotations

import gc
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from compatlayer.errors import CompatlayerError, UsageError

if TYPE_CHECKING:
    from click import ClickException

INTERRUPTED = 130
BUG = 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code (docs/reference/command-line.md lists them)."""
    import click  # start-up time is part of the interface

    from compatlayer.cli.main import compatlayer

    try:
        given = list(arguments) if arguments is not None else None
        result = compatlayer.main(args=given, prog_name="compatlayer", standalone_mode=False)
    except click.exceptions.Exit as ending:
        return ending.exit_code
    except (click.exceptions.Abort, KeyboardInterrupt):
        print("interrupted; the same command goes on from here", file=sys.stderr)
        return INTERRUPTED
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return error.exit_code
    except click.ClickException as error:
        return _say(_in_our_words(error))
    except CompatlayerError as error:
        return _say(error)
    return result if isinstance(result, int) else 0


def _in_our_words(error: ClickException) -> UsageError:
    """What click has to say about a command line, as all other errors are said, for persons and for programs."""
    message = error.format_message().rstrip(".")
    context = getattr(error, "ctx", None)
    return UsageError(message[:1].lower() + message[1:], hint=f"see {context.command_path} --help" if context else None)


def _say(error: CompatlayerError) -> int:
    from compatlayer.cli.context import error_format
    from compatlayer.report import errors
    from compatlayer.report.text import Paint

    if error_format() == "json":
        sys.stderr.write(errors.as_json(error))
    else:
        sys.stderr.write(errors.text(error, Paint.on(sys.stderr)))
    return error.exit_code


def run() -> int:
    """What the command ``compatlayer`` and ``python -m compatlayer`` call."""
    # Most of what a command makes, modules above all, it keeps to its end: looking through it for cycles every 700 objects,
    # as Python does by itself, finds none.
    gc.set_threshold(100_000, 20, 50)
    code = main()
    # Nothing that is alive now has to be looked through once more for cycles: a tenth of a second of every command.
    gc.freeze()
    return code


if __name__ == "__main__":
    sys.exit(run())
