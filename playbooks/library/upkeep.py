#!/usr/bin/python
# SPDX-License-Identifier: GPL-2.0-or-later
"""Clear up after an update of a prefix: half merges, stale environment files, undecided configuration files."""

from __future__ import annotations

DOCUMENTATION = r"""
module: upkeep
short_description: Clear up after Portage has replaced packages of a prefix
description:
  - Removes entries that a killed merge left in C(var/db/pkg).
  - Runs C(env-update), so that C(etc/profile.env) and C(etc/ld.so.conf) agree with C(etc/env.d).
  - Deals with C(._cfg0000_) files, which Portage puts beside a configuration file that somebody has changed (emerge(1),
    CONFIG_PROTECT).
  - Supports check mode (in which C(env-update) is not run) and diff.
options:
  prefix:
    description: The prefix to work on, an absolute path (Portage's EPREFIX).
    type: path
    required: true
  env_update:
    description: The command that is Portage's C(env-update), as an argument list.
    type: list
    elements: str
    required: true
  config_directories:
    description: Directories that hold protected configuration files, below the prefix.
    type: list
    elements: str
    default: [etc]
  config_files:
    description: >-
      What happens to undecided configuration files. C(refuse) fails and names them, C(new) takes the package's newest one, C(old)
      keeps what is there.
    type: str
    choices: [refuse, new, old]
    default: refuse
attributes:
  check_mode:
    support: partial
    details: env-update is not run
  diff_mode:
    support: full
author:
  - compatlayer developers
"""

EXAMPLES = r"""
- name: Nothing is left undecided
  upkeep:
    prefix: /cvmfs/software.example.org/versions/2026.11/compat/linux/x86_64
    env_update: [/usr/sbin/env-update]
"""

RETURN = r"""
removed:
  description: Half merged packages that were removed from the package database, C(category/name-version).
  returned: always
  type: list
  elements: str
refreshed:
  description: Environment files that were stale, relative to I(prefix).
  returned: always
  type: list
  elements: str
decided:
  description: Configuration files that were decided, relative to I(prefix).
  returned: always
  type: list
  elements: str
"""

import os
import re
import shutil

from ansible.module_utils.basic import AnsibleModule

HALF_MERGED = "-MERGING-"
UNDECIDED = re.compile(r"\._cfg(?P<number>\d{4})_(?P<name>.+)")
ENVIRONMENT = ("etc/profile.env", "etc/csh.env", "etc/ld.so.conf", "etc/environment.d/10-gentoo-env.conf")


def half_merged(database):
    """The entries of the package database that a killed merge has left."""
    found = []
    for category in sorted(os.listdir(database)) if os.path.isdir(database) else ():
        directory = os.path.join(database, category)
        if os.path.isdir(directory):
            found += [os.path.join(directory, name) for name in sorted(os.listdir(directory)) if name.startswith(HALF_MERGED)]
    return found


def undecided(prefix, directories):
    """Configuration files with what waits beside them, oldest first: a mapping of relative paths."""
    found = {}
    for directory in directories:
        for parent, _, names in os.walk(os.path.join(prefix, directory)):
            for name in sorted(names):
                match = UNDECIDED.fullmatch(name)
                if match:
                    path = os.path.relpath(os.path.join(parent, match["name"]), prefix)
                    found.setdefault(path, []).append(os.path.relpath(os.path.join(parent, name), prefix))
    return found


def decide(prefix, path, waiting, *, take_new):
    """Put the newest file in its place, or leave the place alone; either way nothing waits any longer."""
    if take_new:
        os.replace(os.path.join(prefix, waiting.pop()), os.path.join(prefix, path))
    for name in waiting:
        os.unlink(os.path.join(prefix, name))


def contents(prefix):
    """The environment files' bytes by relative path."""
    found = {}
    for name in ENVIRONMENT:
        try:
            with open(os.path.join(prefix, name), "rb") as stream:
                found[name] = stream.read()
        except OSError:
            found[name] = b""
    return found


def main():
    module = AnsibleModule(
        argument_spec={
            "prefix": {"type": "path", "required": True},
            "env_update": {"type": "list", "elements": "str", "required": True},
            "config_directories": {"type": "list", "elements": "str", "default": ["etc"]},
            "config_files": {"type": "str", "choices": ["refuse", "new", "old"], "default": "refuse"},
        },
        supports_check_mode=True,
    )
    prefix = module.params["prefix"]
    waiting = undecided(prefix, module.params["config_directories"])
    if waiting and module.params["config_files"] == "refuse":
        names = "\n".join(name for each in waiting.values() for name in each)
        module.fail_json(
            msg=f"configuration files wait for a decision, since what they replace was changed in the layer:\n{names}\n"
            "take each one over or delete it inside the layer, then run again"
        )
    leftovers = half_merged(os.path.join(prefix, "var", "db", "pkg"))
    removed = ["/".join(path.split(os.sep)[-2:]).replace(HALF_MERGED, "") for path in leftovers]
    before = after = contents(prefix)
    if not module.check_mode:
        for path in leftovers:
            shutil.rmtree(path)
        for path, names in waiting.items():
            decide(prefix, path, names, take_new=module.params["config_files"] == "new")
        returncode, output, errors = module.run_command(module.params["env_update"])
        if returncode:
            module.fail_json(msg=f"env-update ended with {returncode}: {(errors or output).strip()}")
        after = contents(prefix)
    refreshed = [name for name in ENVIRONMENT if before[name] != after[name]]
    module.exit_json(
        changed=bool(removed or refreshed or waiting),
        removed=removed,
        refreshed=refreshed,
        decided=sorted(waiting),
        diff=[
            {
                "before_header": name,
                "after_header": name,
                "before": before[name].decode("utf-8", "replace"),
                "after": after[name].decode("utf-8", "replace"),
            }
            for name in refreshed
        ],
    )


if __name__ == "__main__":
    main()
