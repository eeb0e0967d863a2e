#!/usr/bin/python
# SPDX-License-Identifier: GPL-2.0-or-later
"""Lay out what bootstrap-prefix.sh works on before it runs, and clear away what it leaves."""

from __future__ import annotations

DOCUMENTATION = r"""
module: bootstrap_ground
short_description: Lay out the ground for bootstrap-prefix.sh, or clear up behind it
description:
  - With I(state=prepared) the ebuild repository lies where the script would unpack the newest one, the declared profile is
    chosen, and the files of the host that the script would copy are links to it.
  - With I(state=cleared) nothing of this is left, nor of the script's first two stages, its logs and its settings; refused when
    the repository was replaced meanwhile.
  - Supports check mode.
options:
  prefix:
    description: The prefix, an absolute path.
    type: path
    required: true
  state:
    description: What to bring about.
    type: str
    choices: [prepared, cleared]
    required: true
  repository:
    description: The ebuild repository to work from, which is only read.
    type: path
    required: true
  destination:
    description: Where the script expects it, relative to I(prefix).
    type: str
    default: var/db/repos/gentoo
  profile:
    description: The profile's directory in the repository; empty, the script chooses.
    type: str
    default: ""
  begun_file:
    description: The file, relative to I(prefix), that is there from the first step to the last.
    type: str
    required: true
  begun:
    description: What is written into it, what the bootstrap works from.
    type: dict
    default: {}
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
author:
  - compatlayer developers
"""

EXAMPLES = r"""
- name: The declared ebuild repository lies where the script expects it
  bootstrap_ground:
    prefix: /cvmfs/software.example.org/versions/2026.11/compat/linux/x86_64
    state: prepared
    repository: /compatlayer/repositories/gentoo
    begun_file: .begun.json
"""

RETURN = r"""
actions:
  description: What was done.
  returned: always
  type: list
  elements: str
"""

import json
import os
import shutil
import stat

from ansible.module_utils.basic import AnsibleModule

# The script links or copies these from the host, where they are not there; a copy would be this machine's.
HOST_FILES = ("etc/passwd", "etc/group", "etc/resolv.conf", "etc/hosts")
# What the script itself adds to the repository.
ADDED = ("metadata/timestamp", ".unpacked", "package.use", "package.unmask")
CACHE = "metadata/md5-cache/"
LOGS = ("stage1.log", "stage2.log", "stage3.log", "var/log/emerge.log", "var/log/emerge-fetch.log", "var/log/portage")
SHOWN = 8


def entries(directory):
    """Size and time of every file below a directory, and the targets of links, by relative path."""
    found = {}
    for parent, _, names in os.walk(directory):
        for name in names:
            path = os.path.join(parent, name)
            status = os.lstat(path)
            is_link = stat.S_ISLNK(status.st_mode)
            found[os.path.relpath(path, directory)] = os.readlink(path) if is_link else (status.st_size, status.st_mtime_ns)
    return found


def changed(repository, copy):
    """Files in which a copy is not the repository any more, apart from what the script adds."""
    before, after = entries(repository), entries(copy)
    names = sorted({*before, *after})
    differing = [name for name in names if before.get(name) != after.get(name)]
    return [
        name for name in differing if name not in ADDED and os.path.basename(name) not in ADDED and not name.startswith(CACHE)
    ]


def remove(path):
    """Remove whatever is at a path; a directory under another name first, so that half of it is never found there."""
    if os.path.isdir(path) and not os.path.islink(path):
        aside = os.path.join(os.path.dirname(path), f".{os.path.basename(path)}.leaving")
        shutil.rmtree(aside, ignore_errors=True)
        os.rename(path, aside)
        shutil.rmtree(aside)
    elif os.path.lexists(path):
        os.unlink(path)
    else:
        shutil.rmtree(os.path.join(os.path.dirname(path), f".{os.path.basename(path)}.leaving"), ignore_errors=True)


def write(path, text):
    """Write a file under a temporary name, then give it its own."""
    temporary = f"{path}.{os.getpid()}"
    with open(temporary, "w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(temporary, path)


def copy_repository(source, destination):
    """Copy the files beside their place, and move them there when all have come."""
    beside = os.path.join(os.path.dirname(destination), f".{os.path.basename(destination)}.new")
    shutil.rmtree(beside, ignore_errors=True)
    os.makedirs(os.path.dirname(destination), exist_ok=True)
    shutil.copytree(source, beside, symlinks=True, ignore=shutil.ignore_patterns(".git"))
    # The script writes into the profile.
    for parent, _, _ in os.walk(beside):
        os.chmod(parent, os.stat(parent).st_mode | stat.S_IWUSR)
    os.rename(beside, destination)


def link(path, target):
    """Make a link where nothing is."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    os.symlink(target, path)


def prepare(params):
    """The steps that lay out the ground, each with what it says and what it does."""
    prefix = params["prefix"]
    begun, destination = os.path.join(prefix, params["begun_file"]), os.path.join(prefix, params["destination"])
    if not os.path.exists(begun):
        # Whatever is there was not put there by us.
        yield "clear the place of the repository", lambda: remove(destination)
        yield "note what the bootstrap works from", lambda: write(begun, json.dumps(params["begun"], sort_keys=True) + "\n")
    if not os.path.isdir(destination):
        yield "copy the ebuild repository", lambda: copy_repository(params["repository"], destination)
    for name in HOST_FILES:
        path = os.path.join(prefix, name)
        if not os.path.lexists(path):
            yield f"link {name}", lambda path=path, name=name: link(path, f"/{name}")
    profile = os.path.join(prefix, "etc/portage/make.profile")
    if params["profile"] and not os.path.lexists(profile):
        yield "choose the profile", lambda: link(profile, os.path.join(destination, "profiles", params["profile"]))


def clear(params):
    """The steps that clear up; the file that says that a bootstrap is under way goes last."""
    prefix = params["prefix"]
    begun, destination = os.path.join(prefix, params["begun_file"]), os.path.join(prefix, params["destination"])
    if not os.path.lexists(begun):
        return
    temporary = os.path.join(prefix, "tmp")
    yield "remove the first two stages", lambda: (remove(temporary), os.makedirs(temporary, exist_ok=True))
    # A link into the repository: what is declared is written in its place.
    for name in (*LOGS, "etc/portage/make.profile"):
        yield f"remove {name}", lambda name=name: remove(os.path.join(prefix, name))
    yield "remove the ebuild repository", lambda: remove(destination)
    yield "the bootstrap is over", lambda: os.unlink(begun)


def main():
    module = AnsibleModule(
        argument_spec={
            "prefix": {"type": "path", "required": True},
            "state": {"type": "str", "choices": ["prepared", "cleared"], "required": True},
            "repository": {"type": "path", "required": True},
            "destination": {"type": "str", "default": "var/db/repos/gentoo"},
            "profile": {"type": "str", "default": ""},
            "begun_file": {"type": "str", "required": True},
            "begun": {"type": "dict", "default": {}},
        },
        supports_check_mode=True,
    )
    params = module.params
    copy = os.path.join(params["prefix"], params["destination"])
    if params["state"] == "cleared" and os.path.isdir(copy):
        differing = changed(params["repository"], copy)
        if differing:
            names = "\n".join(differing[:SHOWN])
            more = f"\nand {len(differing) - SHOWN} more" if len(differing) > SHOWN else ""
            fact = "the ebuild repository in the prefix is not the declared one any more: stage 3 has replaced it"
            module.fail_json(msg=f"{fact}\n{names}{more}")
    done = []
    for what, act in (prepare if params["state"] == "prepared" else clear)(params):
        if not module.check_mode:
            act()
        done.append(what)
    module.exit_json(changed=bool(done), actions=done)


if __name__ == "__main__":
    main()
