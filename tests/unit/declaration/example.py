"""A small, valid declaration that tests change in one place at a time."""

from __future__ import annotations

import dataclasses
from pathlib import Path

LAYER = """\
name: example
targets: [linux-x86_64, linux-aarch64]
prefix: /cvmfs/software.example.org/versions/{version}/compat/{os}/{arch}
versions:
  "2026.11":
    status: live
    engine: standalone
    sets: [sets/2026.11.yaml]
    tree: {name: gentoo, url: "https://example.org/gentoo.git", commit: 0123456789abcdef0123456789abcdef01234567}
    overlays:
      - {name: example, path: overlay}
    profile: "gentoo:default/{os}/{keyword}"
    trusted_dirs: ["{prefix}/lib/override"]
    locales: [C.UTF-8, en_US.UTF-8]
    host_links:
      - /etc/passwd
      - {path: /etc/hosts, target: "$(EXAMPLE_ETC_HOSTS:-/etc/hosts)"}
mirrors: {debian: ["https://example.org/debian"]}
repositories:
  test: {backend: ostree, path: .compatlayer/repositories/test}
  production: {backend: cvmfs, name: software.example.org}
gates: {verify: error, advisories: high, acceptance: true, parity: true, approvals: 1, approvers: [keys/ops.pub]}
accepted_risks:
  - {advisory: GLSA-202401-18, reason: minizip is not built, until: 2027-01-31}
consumers:
  - {name: software layer, path: "/cvmfs/software.example.org/versions/{version}/software"}
builders:
  linux-aarch64: {host: arm1.example.org, user: builder, scratch: /scratch/cl, jobs: 64}
binaries: {path: .compatlayer/binaries, urls: ["https://binaries.example.org/example"], keys: [keys/builder.pub]}
"""

SET = """\
name: example-2026.11
packages:
  - name: sys-cluster/lmod
    reason: users load software through environment modules
  - name: sys-fabric/opa-psm2
    version: "12.0.1"
    overlay: example
    include_on: [linux-x86_64]
    reason: Omni-Path exists on x86_64 clusters only
"""


@dataclasses.dataclass
class Site:
    """A directory with a declaration."""

    root: Path

    @property
    def file(self) -> Path:
        return self.root / "layer.yaml"

    def write(self, name: str, text: str | bytes) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    def replace(self, name: str, old: str, new: str) -> None:
        text = (self.root / name).read_text()
        assert text.count(old) == 1, f"{old!r} is {text.count(old)} times in {name}"
        self.write(name, text.replace(old, new))

    def snapshot(self) -> dict[str, tuple[int, bytes | str]]:
        """Everything below the root: mode, and content or link target."""
        found: dict[str, tuple[int, bytes | str]] = {}
        for path in sorted(self.root.rglob("*")):
            mode = path.lstat().st_mode
            if path.is_symlink():
                found[str(path)] = (mode, str(path.readlink()))
            elif path.is_file():
                found[str(path)] = (mode, path.read_bytes())
            else:
                found[str(path)] = (mode, "")
        return found


def make_site(root: Path) -> Site:
    site = Site(root)
    site.write("layer.yaml", LAYER)
    site.write("sets/2026.11.yaml", SET)
    site.write("keys/ops.pub", "a public key\n")
    site.write("keys/builder.pub", "a public key\n")
    (root / "overlay").mkdir()
    return site
