"""A layer in a second that needs nothing from its host: a static busybox, and a static ``bash`` that becomes its shell."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

APPLETS = ("ash", "cat", "env", "id", "ls", "mkdir", "touch", "hostname", "true")
SHELL = """\
#include <unistd.h>
int main(int argc, char **argv) { (void)argc; argv[0] = "ash"; execv("%s/usr/bin/busybox", argv); return 127; }
"""


def closed_layer(tree: Path, prefix: str) -> Path:
    """Make the layer in the directory ``tree``, for life at ``prefix``."""
    programs = tree / "usr/bin"
    programs.mkdir(parents=True, exist_ok=True)
    busybox = shutil.which("busybox")
    assert busybox, "tools/host-tools installs it"
    shutil.copy(busybox, programs / "busybox")
    for name in APPLETS:
        (programs / name).symlink_to("busybox")
    subprocess.run(
        ["gcc", "-static", "-x", "c", "-", "-o", programs / "bash"],
        input=SHELL % prefix,
        text=True,
        check=True,
        capture_output=True,
    )
    (tree / "etc").mkdir(exist_ok=True)
    (tree / "etc/profile").write_text(f"PATH={prefix}/usr/bin\n")
    return tree
