#!/usr/bin/python
# SPDX-License-Identifier: GPL-2.0-or-later
"""Compile locales with a prefix's own localedef, all in one task."""

from __future__ import annotations

DOCUMENTATION = r"""
module: locales
short_description: Compile locales for the C library of a prefix
description:
  - Compiles each locale that is neither a directory nor in the archive yet, with the prefix's own C(localedef).
  - A prefix without a C library of its own has no C(localedef) and needs none; its programs find the host's locales. Nothing is
    done then, and I(own_library) says so.
  - A locale appears under its name only when it is complete. Supports check mode and diff.
options:
  prefix:
    description: The prefix, an absolute path.
    type: path
    required: true
  names:
    description: The locales, C(language_TERRITORY.CHARSET), with C(@modifier) where there is one; C(C) and C(POSIX) are built in.
    type: list
    elements: str
    required: true
  localedef:
    description: The program, below the prefix.
    type: str
    default: usr/bin/localedef
  directory:
    description: Where the C library looks for locales, below the prefix.
    type: str
    default: usr/lib/locale
  sources:
    description: Where C(locales/) and C(charmaps/) lie, below the prefix.
    type: str
    default: usr/share/i18n
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
author:
  - compatlayer developers
"""

EXAMPLES = r"""
- name: The declared locales are there
  locales:
    prefix: /cvmfs/software.example.org/versions/2026.11/compat/linux/x86_64
    names: [C.UTF-8, en_US.UTF-8]
"""

RETURN = r"""
compiled:
  description: The locales that were compiled, by the names of their directories.
  returned: always
  type: list
  elements: str
own_library:
  description: Whether the prefix has a C library of its own.
  returned: always
  type: bool
"""

import os
import re
import shutil

from ansible.module_utils.basic import AnsibleModule

NAME = re.compile(r"(?P<language>[A-Za-z]+(?:_[A-Z]+)?)(?:\.(?P<charset>[A-Za-z0-9-]+))?(?:@(?P<modifier>[a-z]+))?")
BUILT_IN = ("C", "POSIX")


def normalised(charset):
    """A character set as the C library writes it in names: ``UTF-8`` is utf8, ``8859-1`` is iso88591 (locale(5), newlocale)."""
    text = "".join(letter for letter in charset.lower() if letter.isalnum())
    return f"iso{text}" if text.isdigit() else text


class Locale:
    """A locale's name, taken apart: what it is compiled from, and the name of its directory."""

    def __init__(self, name):
        found = NAME.fullmatch(name)
        if found is None or not found["charset"]:
            raise ValueError(f"{name!r} names no character set; write it as language_TERRITORY.CHARSET, such as en_US.UTF-8")
        modifier = f"@{found['modifier']}" if found["modifier"] else ""
        self.source = f"{found['language']}{modifier}"
        self.charset = found["charset"]
        self.directory = f"{found['language']}.{normalised(self.charset)}{modifier}"


def archived(module, program, archive):
    """The names of the locales in an archive."""
    if not os.path.isfile(archive):
        return set()
    _, listed, _ = module.run_command([program, "--list-archive", archive])
    return set(listed.split())


def compile_locale(module, program, locale, directory, sources):
    """Compile one locale, which gets its name when it is complete; fails with localedef's own words."""
    os.makedirs(directory, exist_ok=True)
    # Being a path matters: localedef puts a plain name where its own C library looks.
    temporary = os.path.join(directory, f".{locale.directory}.new")
    shutil.rmtree(temporary, ignore_errors=True)
    command = [program, "--no-archive", "--no-hard-links", "-i", locale.source, "-f", locale.charset, temporary]
    returncode, output, errors = module.run_command(command, environ_update={"I18NPATH": sources})
    # 1 means that there were warnings, and a locale nevertheless.
    if returncode not in (0, 1) or not os.path.isfile(os.path.join(temporary, "LC_CTYPE")):
        shutil.rmtree(temporary, ignore_errors=True)
        said = (errors or output).strip() or f"localedef ended with {returncode}"
        module.fail_json(msg=f"locale {locale.directory} cannot be compiled: {said}")
    os.rename(temporary, os.path.join(directory, locale.directory))


def main():
    module = AnsibleModule(
        argument_spec={
            "prefix": {"type": "path", "required": True},
            "names": {"type": "list", "elements": "str", "required": True},
            "localedef": {"type": "str", "default": "usr/bin/localedef"},
            "directory": {"type": "str", "default": "usr/lib/locale"},
            "sources": {"type": "str", "default": "usr/share/i18n"},
        },
        supports_check_mode=True,
    )
    program, directory, sources = (
        os.path.join(module.params["prefix"], module.params[name]) for name in ("localedef", "directory", "sources")
    )
    try:
        wanted = [Locale(name) for name in module.params["names"] if name not in BUILT_IN]
    except ValueError as error:
        module.fail_json(msg=str(error))
    if not os.access(program, os.X_OK):
        module.warn(f"no locale was compiled: {program} is not there, so programs use the host's C library and its locales")
        module.exit_json(changed=False, compiled=[], own_library=False)
    there = archived(module, program, os.path.join(directory, "locale-archive"))
    missing = [
        locale
        for locale in wanted
        if locale.directory not in there and not os.path.isfile(os.path.join(directory, locale.directory, "LC_CTYPE"))
    ]
    for locale in () if module.check_mode else missing:
        compile_locale(module, program, locale, directory, sources)
    names = [locale.directory for locale in missing]
    module.exit_json(
        changed=bool(missing),
        compiled=names,
        own_library=True,
        diff={"before": "", "after": "".join(f"{name}\n" for name in names)},
    )


if __name__ == "__main__":
    main()
