#!/usr/bin/python
# SPDX-License-Identifier: GPL-2.0-or-later
"""Look whether a machine can build, all in one task: what a task costs is starting it."""

from __future__ import annotations

DOCUMENTATION = r"""
module: preflight
short_description: Refuse a machine that cannot build
description:
  - Looks for programs on PATH, measures the free space for builds, and asks whether the prefix can be written.
  - Fails with all that is missing at once. Changes nothing.
options:
  prefix:
    description: The directory that is going to be written.
    type: path
    required: true
  build_directory:
    description: The directory in which packages are built; it must exist.
    type: path
    required: true
  programs:
    description: Programs that must be on PATH.
    type: list
    elements: str
    required: true
  free_bytes:
    description: Free space that I(build_directory) must have at the least.
    type: int
    required: true
attributes:
  check_mode:
    support: full
author:
  - compatlayer developers
"""

EXAMPLES = r"""
- name: Refuse a machine that cannot build
  preflight:
    prefix: /cvmfs/software.example.org/versions/2026.11/compat/linux/x86_64
    build_directory: /var/tmp
    programs: [bash, gcc, make]
    free_bytes: 1073741824
"""

RETURN = r"""
missing:
  description: Programs that are not on PATH, in the order of I(programs).
  returned: always
  type: list
  elements: str
free_bytes:
  description: Bytes that an ordinary user may still write below I(build_directory).
  returned: always
  type: int
writable:
  description: Whether I(prefix) is a directory that can be written.
  returned: always
  type: bool
"""

import os
import shutil

from ansible.module_utils.basic import AnsibleModule


def main():
    module = AnsibleModule(
        argument_spec={
            "prefix": {"type": "path", "required": True},
            "build_directory": {"type": "path", "required": True},
            "programs": {"type": "list", "elements": "str", "required": True},
            "free_bytes": {"type": "int", "required": True},
        },
        supports_check_mode=True,
    )
    prefix, build_directory, wanted = (module.params[name] for name in ("prefix", "build_directory", "free_bytes"))
    missing = [program for program in module.params["programs"] if shutil.which(program) is None]
    try:
        free = shutil.disk_usage(build_directory).free
    except OSError as error:
        module.fail_json(msg=f"the free space for builds cannot be measured: {error}")
    # Asks the kernel, which knows of file systems that are read-only even for root.
    writable = os.path.isdir(prefix) and os.access(prefix, os.W_OK)
    found = {"changed": False, "missing": missing, "free_bytes": free, "writable": writable}
    if missing or free < wanted or not writable:
        module.fail_json(
            msg=f"this machine cannot build: missing programs: {', '.join(missing) or 'none'}; free bytes: {free} of {wanted}; "
            f"prefix {prefix} {'is' if writable else 'is not'} writable",
            **found,
        )
    module.exit_json(**found)


if __name__ == "__main__":
    main()
