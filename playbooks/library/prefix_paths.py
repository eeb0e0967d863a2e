#!/usr/bin/python
# SPDX-License-Identifier: GPL-2.0-or-later
"""Make links and directories of a prefix, all in one task and none outside it."""

from __future__ import annotations

DOCUMENTATION = r"""
module: prefix_paths
short_description: Make symbolic links and directories inside a prefix, and nothing outside it
description:
  - Makes links and directories that are declared, and takes away those that no longer are.
  - A link may be a CernVM-FS variant, C($(NAME:-/default)), which each client resolves by itself. Everywhere else it leads
    nowhere, so that I(variants) can be false while something has to read through it; the link then is its default.
  - Everything is looked at before anything is changed. A file, or a directory with something in it, is never replaced.
  - One task instead of one per path. Supports check mode and diff.
options:
  prefix:
    description: The directory that all paths lie below.
    type: path
    required: true
  directories:
    description: Directories to make, below the prefix. A link in the place of one is left alone.
    type: list
    elements: str
    default: []
  links:
    description: Links to make; each has C(path), below the prefix, and C(target).
    type: list
    elements: dict
    default: []
  former_links:
    description: Links that were declared once; taken away where they are still as they were made.
    type: list
    elements: dict
    default: []
  former_directories:
    description: Directories that were declared once; taken away when nothing is in them.
    type: list
    elements: str
    default: []
  variants:
    description:
      - Whether variant links are written as they are; otherwise they become their default.
      - While they are not, packages are about to be built, and a file in the place of a link is left alone, since the package
        that brought it may be about to go. Where they are, such a file is refused.
    type: bool
    default: true
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
author:
  - compatlayer developers
"""

EXAMPLES = r"""
- name: The layer reads the host's names of users and machines
  prefix_paths:
    prefix: /cvmfs/software.example.org/versions/2026.11/compat/linux/x86_64
    links:
      - {path: etc/passwd, target: /etc/passwd}
      - {path: etc/hosts, target: "$(EXAMPLE_ETC_HOSTS:-/etc/hosts)"}
    directories: [lib/override]
"""

RETURN = r"""
made:
  description: Links and directories that were made or altered, relative to I(prefix).
  returned: always
  type: list
  elements: str
removed:
  description: Links and directories that were taken away, relative to I(prefix).
  returned: always
  type: list
  elements: str
"""

import os
import re

from ansible.module_utils.basic import AnsibleModule

# https://cvmfs.readthedocs.io/en/stable/cpt-repo.html#variant-symlinks
VARIANT = re.compile(r"\$\([A-Za-z_][A-Za-z0-9_]*:-(?P<default>/[^$()]*)\)")

LINK = {"path": {"type": "str", "required": True}, "target": {"type": "str", "required": True}}


def misplaced(prefix, path):
    """Why ``path`` does not lie in the prefix, links on the way to it followed; an empty text when it does."""
    parts = path.split("/")
    if os.path.isabs(path) or not path or any(part in ("", ".", "..") for part in parts):
        return f"{path!r} is not a path below the prefix"
    real = os.path.realpath(os.path.join(prefix, *parts[:-1]))
    home = os.path.realpath(prefix)
    if real != home and not real.startswith(home.rstrip("/") + "/"):
        return f"{path} lies outside the prefix: a link leads to {real}"
    ancestor = os.path.join(prefix, *parts[:-1])
    while not os.path.lexists(ancestor):
        ancestor = os.path.dirname(ancestor)
    return "" if os.path.isdir(ancestor) else f"{path}: {os.path.relpath(ancestor, prefix)} is not a directory"


def target_of(target, variants):
    """What a link shall hold; None for a target that is none."""
    if "$" not in target:
        return target if target and "\n" not in target else None
    found = VARIANT.fullmatch(target)
    if found is None:
        return None
    return target if variants else found["default"]


def made_as(target):
    """The states of a link that was made for ``target``, with and without variants."""
    return {f"-> {target_of(target, variants)}" for variants in (True, False)}


def state_of(path):
    """What is at a path, in words that a difference can show."""
    if os.path.islink(path):
        return f"-> {os.readlink(path)}"
    if os.path.isdir(path):
        return "directory" if os.listdir(path) else "empty directory"
    return "file" if os.path.lexists(path) else "absent"


def refusals(prefix, links, directories, former, variants):
    """Everything that speaks against the declared paths, one line each."""
    linked = [link["path"] for link in links]
    declared = [*linked, *directories]
    astray = {path: reason for path in [*declared, *former] if (reason := misplaced(prefix, path))}
    yield from astray.values()
    yield from (f"{path} is declared more than once" for path in sorted(set(declared)) if declared.count(path) > 1)
    # What is not there yet cannot be followed: a link made first would lead the next path out of the prefix.
    below = ((path, link) for path in declared for link in dict.fromkeys(linked) if path.startswith(f"{link}/"))
    yield from (f"{path} lies below {link}, which is declared as a link" for path, link in below)
    for link in links:
        if target_of(link["target"], variants) is None:
            yield f"{link['path']}: {link['target']!r} is neither a path nor a variant $(NAME:-/default)"
    for path in (path for path in declared if path not in astray):
        state, kind = state_of(os.path.join(prefix, path)), "link to the host" if path in linked else "directory"
        if path in linked and state == "file" and not variants:
            continue
        if state == "file" or (state == "directory" and path in linked):
            yield f"{path} is a {state} of the layer, and a {kind} is declared in its place"


def make_directories(path):
    """Make a directory and those above it, readable for everybody whatever the umask is."""
    if os.path.isdir(path):
        return
    make_directories(os.path.dirname(path))
    os.mkdir(path)
    os.chmod(path, 0o755)  # noqa: S103  (everybody reads a layer)


def make_link(path, target):
    """Put a link in the place of nothing, of another link or of an empty directory; a link is replaced in one step."""
    make_directories(os.path.dirname(path))
    if os.path.isdir(path) and not os.path.islink(path):
        os.rmdir(path)
    temporary = os.path.join(os.path.dirname(path), f".{os.path.basename(path)}.{os.getpid()}")
    os.symlink(target, temporary)
    os.replace(temporary, path)


def take_away(path):
    """Remove a link or an empty directory."""
    if os.path.islink(path):
        os.unlink(path)
    else:
        os.rmdir(path)


def main():
    module = AnsibleModule(
        argument_spec={
            "prefix": {"type": "path", "required": True},
            "directories": {"type": "list", "elements": "str", "default": []},
            "links": {"type": "list", "elements": "dict", "default": [], "options": LINK},
            "former_links": {"type": "list", "elements": "dict", "default": [], "options": LINK},
            "former_directories": {"type": "list", "elements": "str", "default": []},
            "variants": {"type": "bool", "default": True},
        },
        supports_check_mode=True,
    )
    prefix, variants = module.params["prefix"], module.params["variants"]
    links, directories = module.params["links"], module.params["directories"]
    former = {path: {"empty directory"} for path in module.params["former_directories"]}
    former |= {link["path"]: made_as(link["target"]) for link in module.params["former_links"]}
    refused = list(refusals(prefix, links, directories, former, variants))
    if refused:
        module.fail_json(msg="\n".join(refused))

    made, removed, before, after = [], [], [], []

    def change(done, path, wanted, act, *arguments):
        before.append(f"{path} {state_of(os.path.join(prefix, path))}\n")
        after.append(f"{path} {wanted}\n")
        done.append(path)
        if not module.check_mode:
            act(os.path.join(prefix, path), *arguments)

    for path, states in former.items():
        if state_of(os.path.join(prefix, path)) in states:
            change(removed, path, "absent", take_away)
    for link in links:
        target = target_of(link["target"], variants)
        if state_of(os.path.join(prefix, link["path"])) not in (f"-> {target}", *(() if variants else ("file",))):
            change(made, link["path"], f"-> {target}", make_link, target)
    for path in directories:
        if state_of(os.path.join(prefix, path)) == "absent":
            change(made, path, "empty directory", make_directories)
    module.exit_json(
        changed=bool(made or removed),
        made=made,
        removed=removed,
        diff={"before": "".join(before), "after": "".join(after)},
    )


if __name__ == "__main__":
    main()
