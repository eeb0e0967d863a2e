#!/usr/bin/python
# SPDX-License-Identifier: GPL-2.0-or-later
"""Make Portage's records of a prefix say what was installed, and not when, in which order, where or by which run it was."""

from __future__ import annotations

DOCUMENTATION = r"""
module: portage_records
short_description: Make Portage's records of what is installed the same for everybody who installs the same
description:
  - Portage records of each package when it was built, as the how manieth it was merged, from which file, in which directory, and
    what else was in the environment. This module rewrites these values in C(var/db/pkg), to depend on the package alone.
  - Times become I(epoch), of the installed files as well, since Portage compares the two. The counters stay unique and do not
    exceed C(var/cache/edb/counter).
  - Caches that Portage makes anew when it misses them are removed.
  - What is right already is not touched. Nothing may be merging meanwhile. Supports check mode.
options:
  prefix:
    description: The prefix to work on, an absolute path (Portage's EPREFIX).
    type: path
    required: true
  epoch:
    description: The time that stands for every time, in seconds since 1970 (SOURCE_DATE_EPOCH).
    type: int
    required: true
  build_directory:
    description: The directory in which packages were built (PORTAGE_TMPDIR), as the build saw it.
    type: path
    required: true
  recorded_build_directory:
    description: The path that stands for it in the records.
    type: path
    required: true
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
author:
  - compatlayer developers
"""

EXAMPLES = r"""
- name: The records name no time and no place
  portage_records:
    prefix: /cvmfs/software.example.org/versions/2026.11/compat/linux/x86_64
    epoch: 315532800
    build_directory: /compatlayer/build
    recorded_build_directory: /compatlayer/build
"""

RETURN = r"""
packages:
  description: Packages whose records were rewritten, C(category/name-version).
  returned: always
  type: list
  elements: str
files:
  description: Other files that were rewritten or removed, relative to I(prefix).
  returned: always
  type: list
  elements: str
"""

import bz2
import hashlib
import os
import re

from ansible.module_utils.basic import AnsibleModule

HALF_MERGED = "-MERGING-"
NS = 10**9
# Which file of which build was merged: both say something about a store of binary packages, and nothing about what is installed.
DROPPED = ("BUILD_ID", "BINPKGMD5")
# scanelf finds files in the directory's order.
SORTED = ("NEEDED", "NEEDED.ELF.2")
# FEATURES that say whether a run had a store of binary packages, whether it was root's, and what could be merged side by side.
RUN_FEATURES = frozenset(
    ("binpkg-multi-instance", "buildpkg", "ebuild-locks", "getbinpkg", "pkgdir-index-trusted", "unprivileged")
)
# Variables of the run around Portage, how many processors compress, which of the stored builds it is, the login shell that
# bash has found, and a name without a value that the merge of a binary package leaves.
RUN_VARIABLES = re.compile(
    rb"^declare (?:-\S+ )?(?:(?:(?:ANSIBLE|AWX|RUNNER)_\w+|PORTAGE_COMPRESSION_COMMAND|MAKEOPTS|BUILD_ID|SHELL)="
    rb"(?:\$?[\"'].*[\"'])?|(?<=declare -- )f)\n",
    re.MULTILINE,
)
FEATURES_VARIABLE = re.compile(rb'^(declare -x (?:PORTAGE_)?FEATURES=")([^"\n]*)(")$', re.MULTILINE)
# Portage wraps these in functions that complain, and that say whether the builder's machine has the program (ebuild.sh).
AUTOTOOLS = re.compile(rb'^    /\S+/(aclocal|autoconf|automake|libtoolize) "\$@";\n    return \$\?\n', re.MULTILINE)
MISSING = rb'    echo "*** missing command: \1" 1>&2;\n    return 127\n'
# Its #dir_mtime says for which state of the directory the cache holds.
METADATA = "metadata"
METADATA_TIME = b"#dir_mtime="
CACHES = ("var/cache/edb/mtimedb", "var/cache/edb/vdb_metadata.pickle")
COUNTER = "var/cache/edb/counter"
# What some ways of publishing give every directory.
NO_TIME_S = (0, 1)


class Records:
    """The package database of one prefix; ``write`` False only finds out what would be done."""

    def __init__(self, prefix, epoch, places, *, write):
        self.prefix = prefix
        self.epoch = epoch
        self.places = places
        self.write = write
        self.database = os.path.join(prefix, "var", "db", "pkg")
        # Outside the entries, so that one that a kill leaves belongs to no package; on the same file system.
        self.temporary = os.path.join(prefix, "var", "db", ".portage_records")
        self.files = []

    def packages(self):
        """All entries, ``category/name-version``, in order."""
        found = []
        for category in sorted(os.listdir(self.database)) if os.path.isdir(self.database) else ():
            directory = os.path.join(self.database, category)
            names = sorted(os.listdir(directory)) if os.path.isdir(directory) and not os.path.islink(directory) else ()
            found += [f"{category}/{name}" for name in names if not name.startswith((HALF_MERGED, "."))]
        return [cpv for cpv in found if os.path.isfile(os.path.join(self.database, cpv, "CONTENTS"))]

    def counters(self, cpvs):
        """A number for each package that depends on its name alone, as long as no two names share one."""
        taken, found = set(), {}
        for cpv in cpvs:
            number = 1 + int(hashlib.sha256(cpv.encode()).hexdigest()[:7], 16)
            while number in taken:
                number += 1
            taken.add(number)
            found[cpv] = number
        return found

    def package(self, cpv, counter):
        """Rewrite one entry; whether anything was not right."""
        directory = os.path.join(self.database, cpv)
        values = {"BUILD_TIME": self.epoch, "COUNTER": counter}
        changed = False
        for name in sorted(os.listdir(directory)):
            path = os.path.join(directory, name)
            if name == METADATA or not os.path.isfile(path) or os.path.islink(path):
                continue
            if name in DROPPED:
                changed = True
                if self.write:
                    os.unlink(path)
                continue
            before = read(path)
            changed |= self.replace(path, before, self.after(name, before, values))
        return self.metadata(directory, values, changed=changed) or changed

    def after(self, name, before, values):
        """What a file of an entry is to hold."""
        if name in values:
            return b"%d\n" % values[name] if before.endswith(b"\n") else b"%d" % values[name]
        if name == "CONTENTS":
            return self.contents(before)
        if name == "FEATURES":
            return without_run_features(before.rstrip(b"\n")) + (b"\n" if before.endswith(b"\n") else b"")
        if name == "environment.bz2":
            return self.environment(before)
        if name in SORTED:
            before = b"".join(sorted(before.splitlines(keepends=True)))
        return self.without_places(before)

    def contents(self, before):
        """CONTENTS with one time for all, after giving it to the installed files that have the recorded one."""
        lines = []
        for line in before.splitlines():
            if line.startswith((b"obj ", b"sym ")):
                front, _, recorded = line.rpartition(b" ")
                path = front[4:].rpartition(b" -> ")[0] if line.startswith(b"sym ") else front[4:].rpartition(b" ")[0]
                if recorded.isdigit() and int(recorded) != self.epoch:
                    self.touch(path, int(recorded))
                    lines.append(b"%b %d" % (front, self.epoch))
                    continue
            lines.append(line)
        lines.sort(key=lambda line: line.split(b" ", 1)[-1])
        return b"".join(line + b"\n" for line in lines)

    def touch(self, path, recorded):
        """Give an installed file the one time, unless somebody has changed it since it was merged."""
        if not self.write or not path.startswith(os.fsencode(self.prefix) + b"/"):
            return
        try:
            if int(os.lstat(path).st_mtime) == recorded:
                os.utime(path, (self.epoch, self.epoch), follow_symlinks=False)
        except FileNotFoundError:
            return  # what is missing is for verify to say

    def environment(self, before):
        """The saved environment without what the run around Portage has put there; packed the same way each time."""
        try:
            text = bz2.decompress(before)
        except (OSError, ValueError):
            return before
        text = AUTOTOOLS.sub(MISSING, RUN_VARIABLES.sub(b"", text))
        text = FEATURES_VARIABLE.sub(lambda found: found[1] + without_run_features(found[2]) + found[3], text)
        return bz2.compress(self.without_places(text))

    def without_places(self, text):
        seen, recorded = (os.fsencode(place) for place in self.places)
        return text if seen == recorded else text.replace(seen + b"/", recorded + b"/")

    def metadata(self, directory, values, *, changed):
        """Portage's cache of an entry's values, which holds as long as the entry's directory has the time that it names."""
        path = os.path.join(directory, METADATA)
        time_ns = self.epoch * NS
        if os.path.isfile(path):
            before = read(path)
            lines = [line for line in before.splitlines(keepends=True) if not line.startswith((METADATA_TIME, b"BUILD_ID="))]
            new = [b"%b=%d\n" % (name.encode(), value) for name, value in values.items()]
            names = tuple(line.partition(b"=")[0] + b"=" for line in new)
            kept = [line for line in lines if not line.startswith(names)]
            heads = [line for line in kept if line.startswith(b"#")]
            bodies = sorted([*(line for line in kept if not line.startswith(b"#")), *new])
            after = b"".join([*heads, *bodies, b"%b%d\n" % (METADATA_TIME, time_ns)])
            changed = self.replace(path, before, after) or changed
        status = os.stat(directory)
        if changed or (status.st_mtime_ns != time_ns and int(status.st_mtime) not in NO_TIME_S):
            changed = True
            if self.write:
                os.utime(directory, ns=(time_ns, time_ns))
        return changed

    def counter(self, highest):
        """Where Portage goes on counting."""
        path = os.path.join(self.prefix, COUNTER)
        if highest and os.path.isfile(path) and self.replace(path, read(path), b"%d" % highest):
            self.files.append(COUNTER)

    def caches(self):
        """Remove what Portage makes again."""
        for name in CACHES:
            path = os.path.join(self.prefix, name)
            if os.path.lexists(path):
                self.files.append(name)
                if self.write:
                    os.unlink(path)

    def replace(self, path, before, after):
        """Write a file anew where it differs, whole and with its mode; whether it does."""
        if before == after:
            return False
        if self.write:
            with open(self.temporary, "wb") as stream:
                stream.write(after)
                os.fchmod(stream.fileno(), os.stat(path).st_mode & 0o7777)
            os.replace(self.temporary, path)
        return True


def read(path):
    with open(path, "rb") as stream:
        return stream.read()


def without_run_features(text):
    return b" ".join(word for word in text.split() if word.decode("utf-8", "replace") not in RUN_FEATURES)


def main():
    module = AnsibleModule(
        argument_spec={
            "prefix": {"type": "path", "required": True},
            "epoch": {"type": "int", "required": True},
            "build_directory": {"type": "path", "required": True},
            "recorded_build_directory": {"type": "path", "required": True},
        },
        supports_check_mode=True,
    )
    places = (module.params["build_directory"], module.params["recorded_build_directory"])
    records = Records(module.params["prefix"], module.params["epoch"], places, write=not module.check_mode)
    if os.path.lexists(records.temporary) and records.write:
        os.unlink(records.temporary)
    cpvs = records.packages()
    counters = records.counters(cpvs)
    changed = [cpv for cpv in cpvs if records.package(cpv, counters[cpv])]
    records.counter(max(counters.values(), default=0))
    records.caches()
    module.exit_json(changed=bool(changed or records.files), packages=changed, files=records.files)


if __name__ == "__main__":
    main()
