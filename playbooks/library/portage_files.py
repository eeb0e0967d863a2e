#!/usr/bin/python
# SPDX-License-Identifier: GPL-2.0-or-later
"""Install a tree of configuration files verbatim, in one task."""

from __future__ import annotations

DOCUMENTATION = r"""
module: portage_files
short_description: Install a directory of configuration files verbatim, and nothing beside them
description:
  - Makes every file below I(src) exist below I(dest) with the same content and mode.
  - In the directories named in I(exclusive), files that I(src) does not hold are removed.
  - One task instead of one per file; an unchanged file is not touched. Supports check mode and diff.
options:
  src:
    description: The directory to install from.
    type: path
  files:
    description: Instead of I(src), the text of each file by its path relative to I(dest). Their mode is 0644.
    type: dict
  dest:
    description: The directory to install below; made where it is missing.
    type: path
    required: true
  exclusive:
    description: Directories, relative to I(dest), that hold nothing but what I(src) holds.
    type: list
    elements: str
    default: []
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
author:
  - compatlayer developers
"""

EXAMPLES = r"""
- name: Portage is configured as declared
  portage_files:
    src: /compatlayer/run/files
    dest: /cvmfs/software.example.org/versions/2026.11/compat/linux/x86_64
    exclusive: [etc/portage]

- name: A file says who made it
  portage_files:
    files: {usr/share/made-by: "somebody\n"}
    dest: /cvmfs/software.example.org/versions/2026.11/compat/linux/x86_64
"""

RETURN = r"""
written:
  description: Files that were written, relative to I(dest).
  returned: always
  type: list
  elements: str
removed:
  description: Files that were removed, relative to I(dest).
  returned: always
  type: list
  elements: str
"""

import os

from ansible.module_utils.basic import AnsibleModule


def files_below(directory):
    """Every file or link below a directory, as sorted relative paths."""
    found = []
    for parent, directories, names in os.walk(directory):
        links = [name for name in directories if os.path.islink(os.path.join(parent, name))]
        directories[:] = [name for name in directories if name not in links]
        found += [os.path.relpath(os.path.join(parent, name), directory) for name in [*names, *links]]
    return sorted(found)


def content_of(path):
    """A file's bytes, or None when it is missing or is not a regular file."""
    if os.path.islink(path) or not os.path.isfile(path):
        return None
    with open(path, "rb") as stream:
        return stream.read()


def write(path, content, mode):
    """Write a file under a temporary name, then give it its own."""
    if os.path.isdir(path) and not os.path.islink(path):
        raise OSError(f"{path} is a directory, and a file is declared in its place")
    os.makedirs(os.path.dirname(path), exist_ok=True)
    temporary = os.path.join(os.path.dirname(path), f".{os.path.basename(path)}.{os.getpid()}")
    with open(temporary, "wb") as stream:
        stream.write(content)
    os.chmod(temporary, mode)
    os.replace(temporary, path)


def remove(path, stop):
    """Remove a file, and the directories above it that are empty then, up to ``stop``."""
    os.unlink(path)
    parent = os.path.dirname(path)
    while parent != stop and not os.listdir(parent):
        os.rmdir(parent)
        parent = os.path.dirname(parent)


def from_directory(module):
    """Content and mode of every file below ``src``, by relative path."""
    source, found = module.params["src"], {}
    for relative in files_below(source):
        path = os.path.join(source, relative)
        content = content_of(path)
        if content is None:
            module.fail_json(msg=f"{relative}: only regular files can be installed verbatim")
        found[relative] = (content, 0o755 if os.access(path, os.X_OK) else 0o644)
    return found


def from_texts(module):
    """The same of ``files``, none of which may lie elsewhere."""
    found = {}
    for relative, text in sorted(module.params["files"].items()):
        if os.path.isabs(relative) or ".." in relative.split("/"):
            module.fail_json(msg=f"{relative}: not a path below dest")
        found[os.path.normpath(relative)] = (str(text).encode(), 0o644)
    return found


def main():
    module = AnsibleModule(
        argument_spec={
            "src": {"type": "path"},
            "files": {"type": "dict"},
            "dest": {"type": "path", "required": True},
            "exclusive": {"type": "list", "elements": "str", "default": []},
        },
        mutually_exclusive=[("src", "files")],
        required_one_of=[("src", "files")],
        supports_check_mode=True,
    )
    destination = module.params["dest"]
    wanted = from_directory(module) if module.params["src"] else from_texts(module)
    written, removed, before, after = [], [], [], []
    for relative, (content, mode) in wanted.items():
        present = content_of(os.path.join(destination, relative))
        target = os.path.join(destination, relative)
        if present == content and os.stat(target).st_mode & 0o777 == mode:
            continue
        written.append(relative)
        before.append(f"--- {relative}\n{(present or b'').decode('utf-8', 'replace')}")
        after.append(f"--- {relative}\n{content.decode('utf-8', 'replace')}")
        if not module.check_mode:
            if os.path.islink(target):
                os.unlink(target)
            write(target, content, mode)
    keep = set(wanted)
    for directory in module.params["exclusive"]:
        for relative in files_below(os.path.join(destination, directory)):
            path = os.path.join(directory, relative)
            if path in keep:
                continue
            removed.append(path)
            before.append(f"--- {path}\n")
            if not module.check_mode:
                remove(os.path.join(destination, path), destination)
    module.exit_json(
        changed=bool(written or removed),
        written=written,
        removed=removed,
        diff={"before": "".join(before), "after": "".join(after)},
    )


if __name__ == "__main__":
    main()
