#!/usr/bin/python
# SPDX-License-Identifier: GPL-2.0-or-later
"""Bring a set of packages to the declared state with one run of Portage, and say live what it is doing."""

from __future__ import annotations

DOCUMENTATION = r"""
module: emerge
short_description: Bring a whole package set to its declared state in one run of Portage
description:
  - Compares every wanted package (version, slot, repository, USE) with C(var/db/pkg), builds those that differ in one
    run of C(emerge), removes those that shall be absent, and registers the sets as selected.
  - Reports each package as changed or not. Supports check mode and diff.
  - While Portage runs, package and phase are appended to I(progress_file), one JSON object a line.
options:
  prefix:
    description: The prefix to work on, an absolute path (Portage's EPREFIX).
    type: path
    required: true
  emerge:
    description: The command that is Portage's C(emerge), as an argument list.
    type: list
    elements: str
    required: true
  packages:
    description: >-
      The wanted packages, in an order in which they can be built. Each has C(cpv), C(slot), C(repository) and C(use)
      (the enabled flags, of those in C(iuse)), and may have C(rebuild) to force a rebuild.
    type: list
    elements: dict
    required: true
  absent:
    description: Packages (C(category/name-version)) that shall not be installed.
    type: list
    elements: str
    default: []
  sets:
    description: The sets to register as selected once their packages are there.
    type: list
    elements: str
    default: []
  options:
    description: Further options for C(emerge), such as C(--jobs=2).
    type: list
    elements: str
    default: []
  progress_file:
    description: A file that gets what happens, one JSON object a line.
    type: path
  output_file:
    description: A file that gets all that C(emerge) prints.
    type: path
    required: true
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
author:
  - compatlayer developers
"""

EXAMPLES = r"""
- name: The declared packages are installed
  emerge:
    prefix: /cvmfs/software.example.org/versions/2026.11/compat/linux/x86_64
    emerge: [/usr/bin/emerge]
    sets: [example-2026.11-linux-x86_64]
    packages:
      - {cpv: app-arch/bzip2-1.0.8, slot: "0", repository: compatlayer, use: [], iuse: [static]}
    output_file: /tmp/emerge.out
"""

RETURN = r"""
packages:
  description: Each wanted or absent package, with what was done to it and why; C(binary) where a binary package was merged.
  returned: always
  type: list
  elements: dict
  sample: [{cpv: app-arch/bzip2-1.0.8, action: unchanged, changed: false, because: ""}]
failure:
  description: >-
    What went wrong: C(kind) (fetch, digest, unsatisfied, masked, phase, killed, other), C(package), C(phase), C(log) and
    C(last_lines).
  returned: on failure
  type: dict
"""

import glob
import json
import os
import re
import subprocess
import time

from ansible.module_utils.basic import AnsibleModule

COLOUR = re.compile(r"\x1b\[[0-9;]*m")
STARTED = re.compile(r">>> emerge \((\d+) of (\d+)\) (\S+) to ")
BINARY = re.compile(r"=== \(\d+ of \d+\) Merging Binary \((\S+?)::")
COMPLETED = re.compile(r"::: completed emerge \((\d+) of (\d+)\) (\S+) to ")
UNMERGED = re.compile(r">>> unmerge success: (\S+)")
FAILED_PHASE = re.compile(r"ERROR: (\S+?)(?:::\S+)? failed(?: \((\w+) phase\))?:")
FAILED_PACKAGE = re.compile(r"(?:>>> Failed to (?:emerge|install)|Fetch failed for|fetch failed for) '?([^\s',]+)")
BUILD_LOG = re.compile(r"(?:complete build log is located at|Log file:)\s+'([^']+)'")
# Portage's exit code is 1 for everything; its words tell what happened, the more particular ones first.
KINDS = (
    ("digest", ("!!! Reason: ", "VERIFY FAILED!", "Digest verification failed")),
    ("fetch", ("Couldn't download", "Fetch failed", "fetch failed")),
    ("unsatisfied", ("no ebuilds to satisfy", "unsatisfied")),
    ("masked", ("masked by:", "have been masked")),
    ("phase", ("phase):",)),
)
LAST_LINES = 15
# What Portage adds below a failed phase: advice, and paths that are told apart from it.
ADVICE = re.compile(
    r"^ \*\s*(?:If you need support|the complete build log and|The complete build log|For convenience, a symlink|"
    r"The ebuild environment file|Working directory:|S: ')"
)
POLL_S = 0.2
OF_ANSIBLE = ("ANSIBLE_", "AWX_", "RUNNER_")


def read(path):
    """The stripped text of a file of the package database; empty when it is not there."""
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            return stream.read().strip()
    except OSError:
        return ""


def difference(database, package):
    """Why ``package`` is not installed as wanted; an empty text when it is."""
    entry = os.path.join(database, package["cpv"])
    if not os.path.isdir(entry):
        return "not installed"
    if package.get("rebuild"):
        return str(package["rebuild"])
    slot = read(os.path.join(entry, "SLOT")).split("/")[0]
    if slot != package["slot"].split("/")[0]:
        return f"slot {slot}, wanted {package['slot']}"
    repository = read(os.path.join(entry, "repository"))
    if repository != package["repository"]:
        return f"from {repository}, wanted from {package['repository']}"
    flags = {flag.lstrip("+-") for flag in read(os.path.join(entry, "IUSE")).split()} | set(package.get("iuse", ()))
    installed = set(read(os.path.join(entry, "USE")).split()) & flags
    wanted = set(package.get("use", ())) & flags
    if installed != wanted:
        changes = [f"+{flag}" for flag in sorted(wanted - installed)]
        changes += [f"-{flag}" for flag in sorted(installed - wanted)]
        return "USE " + " ".join(changes)
    return ""


class Progress:
    """Appends what Portage does to the progress file: phases from its status file, finished packages from its log."""

    def __init__(self, path, prefix, log_path):
        self.stream = open(path, "a", encoding="utf-8", buffering=1) if path else None
        self.status_directory = os.path.join(prefix, "run", "portage")
        self.log_path = log_path
        self.log_offset = os.path.getsize(log_path) if os.path.exists(log_path) else 0
        self.phases = {}
        self.started_at = {}
        self.binaries = set()
        self.done = 0
        self.total = 0

    def tell(self, **event):
        if self.stream:
            self.stream.write(json.dumps(event) + "\n")

    def poll(self, pid):
        self._finished_packages()
        try:
            with open(os.path.join(self.status_directory, f"emerge-{pid}.json"), encoding="utf-8") as stream:
                snapshot = json.load(stream)
        except (OSError, ValueError):
            return
        for task in snapshot.get("tasks", ()):
            cpv, phase = task.get("cpv"), task.get("phase") or task.get("kind")
            if cpv and phase and self.phases.get(cpv) != phase:
                self.phases[cpv] = phase
                self.tell(event="phase", package=cpv, phase=phase, done=self.done, total=self.total)

    def _finished_packages(self):
        try:
            with open(self.log_path, encoding="utf-8", errors="replace") as stream:
                stream.seek(self.log_offset)
                text = stream.read()
        except OSError:
            return
        complete = text.rfind("\n") + 1
        self.log_offset += len(text[:complete].encode("utf-8", "replace"))
        for line in text[:complete].splitlines():
            started, completed, binary = STARTED.search(line), COMPLETED.search(line), BINARY.search(line)
            if binary:
                self.binaries.add(binary.group(1))
            elif started:
                self.started_at[started.group(3)] = time.monotonic()
                self.total = max(self.total, int(started.group(2)))
                self.tell(event="phase", package=started.group(3), phase="start", done=self.done, total=self.total)
            elif completed:
                cpv = completed.group(3)
                self.done += 1
                elapsed = time.monotonic() - self.started_at.get(cpv, time.monotonic())
                self.tell(
                    event="finished",
                    package=cpv,
                    done=self.done,
                    total=self.total,
                    elapsed_s=round(elapsed, 2),
                    binary=cpv in self.binaries,
                )


def run_emerge(module, arguments, total=0):
    """Run emerge to its end, writing its output to ``output_file``.

    Returns its exit code, what it printed, and the packages that it took from binary ones.
    """
    output_path = module.params["output_file"]
    log_directory = os.environ.get("EMERGE_LOG_DIR", os.path.join(module.params["prefix"], "var", "log"))
    progress = Progress(module.params["progress_file"], module.params["prefix"], os.path.join(log_directory, "emerge.log"))
    progress.total = total
    command = [*module.params["emerge"], "--color=n", "--nospinner", *arguments]
    with open(output_path, "ab") as output:
        begin = output.tell()
        output.write(f"$ {' '.join(command)}\n".encode())
        output.flush()
        # Before it unmerges, Portage waits for a person to change their mind; here the plan was the time for that.
        # Ansible's own variables name places of this machine, and Portage records what it finds in its environment.
        environment = {name: value for name, value in os.environ.items() if not name.startswith(OF_ANSIBLE)}
        environment["CLEAN_DELAY"] = "0"
        process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)
        while True:
            progress.poll(process.pid)
            try:
                process.wait(timeout=POLL_S)
                break
            except subprocess.TimeoutExpired:
                continue
        progress.poll(process.pid)
    with open(output_path, "rb") as output:
        output.seek(begin)
        text = COLOUR.sub("", output.read().decode("utf-8", "replace"))
    return process.returncode, text, progress.binaries


def last_lines(text):
    """The last lines that say something; what the build itself said comes before Portage's account of it."""
    lines = [COLOUR.sub("", line).rstrip() for line in text.splitlines()]
    lines = [line for line in lines if line.strip(" *") and not ADVICE.match(line)]
    return lines[-LAST_LINES:]


def failure_of(returncode, text, output_path):
    """What went wrong, read from Portage's text, since its exit code is 1 for everything."""
    phase_match = FAILED_PHASE.search(text)
    package_match = phase_match or FAILED_PACKAGE.search(text)
    kind = "killed" if returncode < 0 else "other"
    if kind == "other":
        kind = next((name for name, marks in KINDS if any(mark in text for mark in marks)), kind)
    if phase_match:
        kind = "phase" if kind not in ("digest", "fetch") else kind
    log_match = BUILD_LOG.search(text) if phase_match else None
    log = log_match.group(1) if log_match else output_path
    return {
        "kind": kind,
        "package": package_match.group(1) if package_match else "",
        "phase": (phase_match.group(2) or "") if phase_match else "",
        "log": log,
        "last_lines": last_lines(read(log) or text),
        "returncode": returncode,
    }


def fail(module, what, returncode, text, packages):
    failure = failure_of(returncode, text, module.params["output_file"])
    module.fail_json(msg=f"{what}: {failure['package'] or 'emerge'} failed", failure=failure, packages=packages)


def leftovers(prefix):
    """What a killed run has left in the prefix: half-merged packages, locks, and the status of a Portage that is no more."""
    database = os.path.join(prefix, "var", "db", "pkg")
    for directory in [os.path.dirname(database), database, *glob.glob(os.path.join(glob.escape(database), "*", ""))]:
        for name in os.listdir(directory) if os.path.isdir(directory) else ():
            if name.startswith("-MERGING-") or name.endswith(".portage_lockfile"):
                yield os.path.join(directory, name)
    yield from glob.glob(os.path.join(glob.escape(prefix), "run", "portage", "emerge-*"))


def remove_leftovers(prefix):
    """Delete them, before anything is compared: Portage skips half-merged packages and never removes them.

    Nobody else works on the prefix: whoever runs this holds its lock.
    """
    for path in list(leftovers(prefix)):
        subprocess.run(["rm", "-rf", "--", path], check=True)


def unselected(prefix, names):
    """Those of ``names`` that are not registered as selected."""
    selected = read(os.path.join(prefix, "var", "lib", "portage", "world_sets")).split()
    return [name for name in names if f"@{name}" not in selected]


def select(prefix, names):
    """Register sets as selected, so that ``emerge --depclean`` keeps what they hold."""
    path = os.path.join(prefix, "var", "lib", "portage", "world_sets")
    os.makedirs(os.path.dirname(path), exist_ok=True)
    lines = sorted({*read(path).split(), *(f"@{name}" for name in names)})
    temporary = f"{path}.{os.getpid()}"
    with open(temporary, "w", encoding="utf-8") as stream:
        stream.write("".join(f"{line}\n" for line in lines))
    os.replace(temporary, path)


def compare(database, wanted):
    """Each wanted package with what is to be done to it and why, and those of them that are to be built."""
    packages, build = [], []
    for package in wanted:
        because = difference(database, package)
        if because:
            build.append(package)
        action = ("rebuild" if because != "not installed" else "install") if because else "unchanged"
        packages.append({"cpv": package["cpv"], "action": action, "changed": bool(because), "because": because})
    return packages, build


def main():
    module = AnsibleModule(
        argument_spec={
            "prefix": {"type": "path", "required": True},
            "emerge": {"type": "list", "elements": "str", "required": True},
            "packages": {"type": "list", "elements": "dict", "required": True},
            "absent": {"type": "list", "elements": "str", "default": []},
            "sets": {"type": "list", "elements": "str", "default": []},
            "options": {"type": "list", "elements": "str", "default": []},
            "progress_file": {"type": "path"},
            "output_file": {"type": "path", "required": True},
        },
        supports_check_mode=True,
    )
    prefix = module.params["prefix"]
    database = os.path.join(prefix, "var", "db", "pkg")
    if not module.check_mode:
        remove_leftovers(prefix)

    packages, build = compare(database, module.params["packages"])
    unmerge = [cpv for cpv in module.params["absent"] if os.path.isdir(os.path.join(database, cpv))]
    packages += [{"cpv": cpv, "action": "remove", "changed": True, "because": "not needed"} for cpv in unmerge]
    new_sets = unselected(prefix, module.params["sets"])
    result = {
        "changed": bool(build or unmerge or new_sets),
        "packages": packages,
        "diff": {
            "before_header": "installed",
            "after_header": "declared",
            "before": "".join(f"{package['cpv']}: {package['because']}\n" for package in packages if package["changed"]),
            "after": "".join(f"{package['cpv']}: {package['action']}\n" for package in packages if package["changed"]),
        },
    }
    if module.check_mode or not result["changed"]:
        module.exit_json(**result)

    if build:
        atoms = [f"={p['cpv']}:{p['slot'].split('/')[0]}::{p['repository']}" for p in build]
        returncode, text, binaries = run_emerge(module, ["--oneshot", *module.params["options"], *atoms], len(atoms))
        packages = [{**package, "binary": True} if package["cpv"] in binaries else package for package in packages]
        result["packages"] = packages
        if returncode:
            fail(module, "building", returncode, text, packages)
        undone = [p["cpv"] for p in build if difference(database, {**p, "rebuild": ""})]
        if undone:
            fail(module, f"emerge ended well without installing {', '.join(undone)}", returncode, text, packages)
    if unmerge:
        returncode, text, _ = run_emerge(module, ["--unmerge", "--quiet", *[f"={cpv}" for cpv in unmerge]])
        if returncode:
            fail(module, "removing", returncode, text, packages)
    if new_sets:
        select(prefix, new_sets)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
