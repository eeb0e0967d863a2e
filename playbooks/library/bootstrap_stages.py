#!/usr/bin/python
# SPDX-License-Identifier: GPL-2.0-or-later
"""Run the stages of Gentoo's bootstrap-prefix.sh, one after the other, and say live how far it is."""

from __future__ import annotations

DOCUMENTATION = r"""
module: bootstrap_stages
short_description: Run the stages of Gentoo's bootstrap-prefix.sh
description:
  - Runs the script once for each stage that has not left its mark in the prefix, and stops it behind that stage.
  - Before each, the script and the files it is going to read are hashed; nothing runs that is not what was declared.
  - Supports check mode. Called again after a failure or a kill, it goes on with the stage that was not finished.
options:
  prefix:
    description: The prefix, an absolute path.
    type: path
    required: true
  script:
    description: The script.
    type: path
    required: true
  sha256:
    description: What the script must be.
    type: str
    required: true
  stages:
    description: The stages to bring about, in order.
    type: list
    elements: str
    required: true
  distfiles:
    description: The directory in which the script looks for what it would download.
    type: path
    required: true
  files:
    description: The files in that directory with their SHA-256. It must hold nothing else.
    type: dict
    default: {}
  later_distfiles:
    description: The directory for the downloads of Portage, which verifies them itself, from stage 2 on.
    type: path
    required: true
  refused_file:
    description: The file in which downloads that were refused are listed, one URL a line.
    type: path
    required: true
  repository:
    description: The ebuild repository in the prefix, relative to I(prefix).
    type: str
    default: var/db/repos/gentoo
  log_directory:
    description: The directory that gets all that each stage prints, as C(bootstrap-STAGE.log).
    type: path
    required: true
  progress_file:
    description: A file that gets what happens, one JSON object a line.
    type: path
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
author:
  - compatlayer developers
"""

EXAMPLES = r"""
- name: Every stage of bootstrap-prefix.sh is finished
  bootstrap_stages:
    prefix: /cvmfs/software.example.org/versions/2026.11/compat/linux/x86_64
    script: /compatlayer/mirror/distfiles/bootstrap-prefix.sh
    sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
    stages: [stage1, stage2, stage3]
    distfiles: /compatlayer/bootstrap/distfiles
    later_distfiles: /compatlayer/distfiles
    refused_file: /compatlayer/logs/refused
    log_directory: /compatlayer/logs
"""

RETURN = r"""
stages:
  description: The stages that were run.
  returned: always
  type: list
  elements: str
failure:
  description: "What went wrong: C(stage), C(ending), C(log), C(last_lines), and the downloads that were C(refused)."
  returned: on failure
  type: dict
"""

import hashlib
import json
import os
import re
import subprocess
import time

from ansible.module_utils.basic import AnsibleModule

# The script writes what it does into the terminal's title.
TITLE = re.compile(r"\x1b\]2;([^\x07\n]*)\x07")
CODES = re.compile(r"\x1b\][^\x07\n]*\x07|\x1b\[[0-9;]*m")
EMERGING = re.compile(r"^>>> (Emerging|Installing|Completed) \((\d+) of (\d+)\) (\S+?)(?:::\S+)?(?: to .*)?$", re.MULTILINE)
# Behind every time of ours: the script updates a repository whose time stamp is older than a day, without verifying what comes.
NEVER_STALE = "Thu, 31 Dec 2099 00:00:00 +0000\n"
LAST_LINES = 15
POLL_S = 0.2


def sha256(path):
    """The SHA-256 of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        for block in iter(lambda: stream.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def strangers(params):
    """What is not what was declared: the script, or a file that it would read; each with what is wrong."""
    wanted = {params["script"]: params["sha256"]}
    wanted.update({os.path.join(params["distfiles"], name): value for name, value in params["files"].items()})
    for path, value in wanted.items():
        try:
            found = sha256(path)
        except OSError as error:
            yield f"{os.path.basename(path)}: {error.strerror}"
            continue
        if found != value:
            yield f"{os.path.basename(path)}: SHA-256 is {found}, declared is {value}"


def remove_undeclared(params):
    """Remove what the script has put into its directory since: files of the mirror come back as they are asked for."""
    for name in sorted(set(os.listdir(params["distfiles"])) - set(params["files"])):
        os.unlink(os.path.join(params["distfiles"], name))


def ready_repository(params, stage):
    """Make the script leave the repository alone: stage 1 must take it for unpacked, stage 3 for one that was just updated."""
    repository = os.path.join(params["prefix"], params["repository"])
    unpacked, timestamp = os.path.join(repository, ".unpacked"), os.path.join(repository, "metadata", "timestamp")
    if stage != "stage3":
        with open(unpacked, "w", encoding="utf-8"):
            pass
        return
    if os.path.exists(unpacked):
        os.unlink(unpacked)
    os.makedirs(os.path.dirname(timestamp), exist_ok=True)
    with open(timestamp, "w", encoding="utf-8") as stream:
        stream.write(NEVER_STALE)


class Progress:
    """Reads what the script prints, and tells titles and packages to the progress file."""

    def __init__(self, path, log):
        self.stream = open(path, "a", encoding="utf-8", buffering=1) if path else None
        self.log = log
        self.offset = 0
        self.title = ""
        self.began = {}

    def tell(self, **event):
        if self.stream:
            self.stream.write(json.dumps(event) + "\n")

    def poll(self):
        with open(self.log, "rb") as stream:
            stream.seek(self.offset)
            text = stream.read()
        complete = text.rfind(b"\n") + 1
        self.offset += complete
        for line in text[:complete].decode("utf-8", "replace").splitlines():
            for title in TITLE.findall(line):
                if title and title != self.title:
                    self.title = title
                    self.tell(event="note", text=title)
            match = EMERGING.match(CODES.sub("", line))
            if match:
                self._package(match)

    def _package(self, match):
        what, number, total, cpv = match.group(1), int(match.group(2)), int(match.group(3)), match.group(4)
        if what == "Completed":
            elapsed = time.monotonic() - self.began.pop(cpv, time.monotonic())
            self.tell(event="finished", package=cpv, done=number, total=total, elapsed_s=round(elapsed, 2))
        else:
            self.began.setdefault(cpv, time.monotonic())
            phase = "start" if what == "Emerging" else "merge"
            self.tell(event="phase", package=cpv, phase=phase, done=number - 1, total=total)


def last_lines(path, offset=0):
    """The last lines of a log that say something, from ``offset`` on."""
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            stream.seek(offset)
            text = stream.read()
    except OSError:
        return []
    lines = [CODES.sub("", line).rstrip() for line in text.splitlines()]
    return [line for line in lines if line.strip(" *!")][-LAST_LINES:]


def refused(path):
    """The downloads that were refused: of each file the last place that was named, which is upstream's."""
    try:
        with open(path, encoding="utf-8") as stream:
            urls = stream.read().split()
    except OSError:
        return []
    return list({url.rpartition("/")[2]: url for url in urls}.values())


def run_stage(params, stage):
    """Run the script up to the end of one stage; what went wrong, or None."""
    log = os.path.join(params["log_directory"], f"bootstrap-{stage}.log")
    own_log = os.path.join(params["prefix"], f"{stage}.log")
    before = os.path.getsize(own_log) if os.path.exists(own_log) else 0
    environment = dict(os.environ)
    environment["DISTDIR"] = params["distfiles"] if stage == "stage1" else params["later_distfiles"]
    environment["STOP_BOOTSTRAP_AFTER"] = stage
    if os.path.exists(params["refused_file"]):
        os.unlink(params["refused_file"])
    with open(log, "ab") as output:
        progress = Progress(params["progress_file"], log)
        progress.offset = output.tell()
        process = subprocess.Popen(
            ["bash", params["script"], params["prefix"], "noninteractive"],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        progress.tell(event="step", step=f"bootstrap {stage}", state="started")
        began = time.monotonic()
        while True:
            progress.poll()
            try:
                process.wait(timeout=POLL_S)
                break
            except subprocess.TimeoutExpired:
                continue
        progress.poll()
    finished = os.path.exists(os.path.join(params["prefix"], f".{stage}-finished"))
    well = process.returncode == 0 and finished
    outcome = "done" if well else "failed"
    progress.tell(event="step", step=f"bootstrap {stage}", state=outcome, elapsed_s=round(time.monotonic() - began, 2))
    if well:
        return None
    ending = f"exit code {process.returncode}" if process.returncode >= 0 else f"signal {-process.returncode}"
    return {
        "stage": stage,
        "ending": "the script ended well without finishing it" if process.returncode == 0 else ending,
        # The stage's own log, without the script's farewell; all of it where there is none.
        "last_lines": last_lines(own_log, before) or last_lines(log),
        "log": log,
        "refused": refused(params["refused_file"]) if stage == "stage1" else [],
    }


def main():
    module = AnsibleModule(
        argument_spec={
            "prefix": {"type": "path", "required": True},
            "script": {"type": "path", "required": True},
            "sha256": {"type": "str", "required": True},
            "stages": {"type": "list", "elements": "str", "required": True},
            "distfiles": {"type": "path", "required": True},
            "files": {"type": "dict", "default": {}},
            "later_distfiles": {"type": "path", "required": True},
            "refused_file": {"type": "path", "required": True},
            "repository": {"type": "str", "default": "var/db/repos/gentoo"},
            "log_directory": {"type": "path", "required": True},
            "progress_file": {"type": "path"},
        },
        supports_check_mode=True,
    )
    params = module.params
    left = [one for one in params["stages"] if not os.path.exists(os.path.join(params["prefix"], f".{one}-finished"))]
    if module.check_mode:
        module.exit_json(changed=bool(left), stages=left)
    for stage in left:
        remove_undeclared(params)
        wrong = list(strangers(params))
        if wrong:
            module.fail_json(msg="\n".join(["what the bootstrap works from is not what was declared", *wrong]))
        ready_repository(params, stage)
        failure = run_stage(params, stage)
        if failure:
            module.fail_json(msg=f"{stage} of bootstrap-prefix.sh failed: {failure['ending']}", failure=failure)
    module.exit_json(changed=bool(left), stages=left)


if __name__ == "__main__":
    main()
