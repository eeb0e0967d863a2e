"""What EESSI's layer holds, as a table: the facts of ``scripts/eessi_sets.yml`` in github.com/EESSI/gentoo-overlay (June 2026).

A line is ``category/name [version overlay] [+only-on …] [-not-on …]``. The digests are those of the files that EESSI publishes
below ``etc/portage/sets`` for the same data: what a rendering has to give, to the byte.
"""

from __future__ import annotations

ARCHS = ("linux-aarch64", "linux-x86_64", "linux-riscv64")

SETS = {
    "eessi-2023.06": """
        app-shells/bash-completion
        dev-python/GitPython
        dev-python/keyring
        dev-python/pip
        dev-python/pycodestyle
        dev-python/pyyaml
        dev-python/rich
        dev-python/uri-template 1.2.0-r1 eessi
        dev-util/direnv 2.32.2 eessi
        dev-util/patchelf
        media-fonts/dejavu
        media-fonts/liberation-fonts
        sys-apps/archspec 0.2.1 eessi
        sys-apps/dbus
        sys-auth/nss-pam-ldapd 0.9.12-r2 eessi
        sys-auth/sssd 2.8.2 eessi
        sys-cluster/lmod
        sys-cluster/rdma-core -macos-aarch64 -macos-x86_64
        sys-fabric/opa-psm2 11.2.205 eessi +linux-x86_64
        sys-libs/pam -macos-aarch64 -macos-x86_64
        sys-process/numactl
    """,
    "eessi-2025.06": """
        app-arch/xz-utils 5.8.2 eessi
        app-misc/elfx86exts 0.6.2 eessi
        app-shells/bash-completion
        dev-python/pip
        dev-python/pycodestyle
        dev-python/pyyaml
        dev-python/rich
        dev-util/direnv 2.36.0 eessi
        dev-util/patchelf
        media-fonts/dejavu
        media-fonts/liberation-fonts
        sys-apps/archspec 0.2.5 eessi
        sys-apps/dbus
        sys-auth/nss-pam-ldapd 0.9.13 eessi
        sys-auth/munge 0.5.16 eessi
        sys-auth/sssd 2.11.0 eessi
        sys-cluster/lmod
        sys-cluster/modules 5.6.1 eessi
        sys-cluster/rdma-core -macos-aarch64 -macos-x86_64
        sys-fabric/opa-psm2 12.0.1 eessi +linux-x86_64
        sys-libs/pam -macos-aarch64 -macos-x86_64
        sys-process/numactl
    """,
}

PUBLISHED_SHA256 = {
    "eessi-2023.06-linux-aarch64": "a25890c48fb103f8595c8d262046b301b8588d5f45085d0cc166e8ada832f231",
    "eessi-2023.06-linux-x86_64": "4b5f1cc45a697d2afd24bac0bfcc5ac49c2cd22de8889a88a706375a65183026",
    "eessi-2023.06-linux-riscv64": "a25890c48fb103f8595c8d262046b301b8588d5f45085d0cc166e8ada832f231",
    "eessi-2025.06-linux-aarch64": "5338478b82a6a932346d1cac8d7191756856e656f575e096ee50e238ce89efa3",
    "eessi-2025.06-linux-x86_64": "7d01310bc94a306dbc5434c1a0e8b92560e135083cadca81bdd21fb7d7f4ff10",
    "eessi-2025.06-linux-riscv64": "5338478b82a6a932346d1cac8d7191756856e656f575e096ee50e238ce89efa3",
}


def document() -> str:
    """The table as the YAML that EESSI writes: plain scalars, block lists, a comment between the architectures."""
    lines = ["---", "eessi_archs:", *(f"  - {arch}" for arch in ARCHS), "#  - macos-aarch64", "", "eessi_sets:"]
    for name, table in SETS.items():
        lines += [f"  - name: {name}", "    packages:"]
        for row in table.split("\n"):
            words = row.split()
            if not words:
                continue
            lines.append(f"      - name: {words[0]}")
            if len(words) > 2 and words[1][0].isdigit():
                lines += [f"        version: {words[1]}", f"        overlay: {words[2]}"]
            for mark, key in (("+", "include_on"), ("-", "exclude_on")):
                targets = [word[1:] for word in words if word.startswith(mark)]
                if targets:
                    lines += [f"        {key}:", *(f"          - {target}" for target in targets)]
    return "\n".join(lines) + "\n"
