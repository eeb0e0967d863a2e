"""The command ``compatlayer`` and its list of verbs; a verb's module is imported when it is called."""

from __future__ import annotations

import difflib
import importlib
import os
import sys
from collections.abc import Mapping

import click

from compatlayer import __version__
from compatlayer.cli.context import global_options

# verb → (module, function, the line that --help shows). In the order in which a layer is made.
VERBS: Mapping[str, tuple[str, str, str]] = {
    "init": ("init", "init", "Make a layer repository: a new one, from EESSI's data, or from a prefix."),
    "check": ("declare", "check", "Check the declaration, and everything that can be resolved from it."),
    "sets": ("declare", "sets", "Render the package sets for Portage."),
    "schema": ("declare", "schema", "Print the JSON Schema of layer.yaml or of a set file."),
    "plan": ("build", "plan", "Show what would change, and why."),
    "mirror": ("mirror", "mirror", "Every source file, verified, ours: fill, verify, serve, status, prune, export, import."),
    "binaries": ("binaries", "binaries", "Binary packages that install can use: list, verify, prune."),
    "install": ("build", "install", "Converge the stage to the declaration."),
    "enter": ("inside", "enter", "Run a shell or a command inside the layer."),
    "stage": ("stages", "stage", "Local changes: list, diff, drop."),
    "verify": ("inspect", "verify", "Compare what is installed with what is declared."),
    "test": ("inspect", "test", "Run the layer's acceptance tests."),
    "hostlab": ("hostlab", "hostlab", "Run the acceptance tests under synthetic hosts."),
    "rebuild": ("rebuild", "rebuild", "Build the part again as somebody else, and compare the two."),
    "publish": ("publish", "publish", "Publish the stage to the test repository."),
    "promote": ("publish", "promote", "Move a tested revision to production, bit for bit."),
    "approve": ("publish", "approve", "Sign an approval of a test revision."),
    "receipt": ("publish", "receipt", "Check the signed proof of a promotion."),
    "rollback": ("past", "rollback", "Restore an earlier revision, as a new one."),
    "history": ("past", "history", "What is in test and production, since when, by whom."),
    "diff": ("past", "diff", "What is different between two revisions."),
    "changelog": ("past", "changelog", "What has changed, by whom and when."),
    "transaction": ("past", "transaction", "What is open in the repositories; undo it."),
    "demo": ("demo", "demo", "All of it, on the layer in this repository."),
}


class Verbs(click.Group):
    """A group whose help needs no verb's module, so that ``--help`` takes a tenth of a second."""

    def invoke(self, ctx: click.Context) -> object:
        """Run a verb; a reader of its output that has had enough (``| head``) is no error."""
        try:
            result: object = super().invoke(ctx)
            sys.stdout.flush()
        except BrokenPipeError:
            # Python would complain once more when it flushes at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            return 0
        return result

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The verbs in the order of ``VERBS``."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the module of one verb."""
        if cmd_name not in VERBS:
            return None
        module, function, _ = VERBS[cmd_name]
        command = getattr(importlib.import_module(f"compatlayer.cli.{module}"), function)
        assert isinstance(command, click.Command)
        return command

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        """Add "did you mean" to click's answer to an unknown verb."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            near = difflib.get_close_matches(args[0], VERBS, n=1)
            if near and "did you mean" not in error.message.lower():
                raise click.UsageError(f"{error.message} Did you mean '{near[0]}'?", ctx) from error
            raise

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the verbs from the table, without importing them."""
        with formatter.section("Verbs"):
            formatter.write_dl([(name, text) for name, (_, _, text) in VERBS.items()])


@click.group(
    cls=Verbs,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 done, 2 usage or declaration, 3 converging failed, 4 findings, 5 repository or lock, "
    "6 distfiles, 7 gate refused, 130 interrupted, 1 a bug.",
)
@click.version_option(__version__, "--version", message="compatlayer %(version)s")
@global_options
def compatlayer() -> None:
    """Declare, build, verify, publish and promote a compatibility layer."""
