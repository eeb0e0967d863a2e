"""Running a playbook through ansible-runner, inside a view, and telling what happens while it happens.

ansible-runner supervises from outside; the view's argument list goes before its command line. Task events come from its
callback plugin, packages and phases from the file that the ``emerge`` module writes.
"""

from __future__ import annotations

import json
import logging
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from compatlayer.errors import ConvergeError
from compatlayer.process import SYSTEM_PATH
from compatlayer.progress import Event, Monitor, Note, PackageFinished, PackagePhase, StepFinished, StepStarted
from compatlayer.stage import View

log = logging.getLogger(__name__)

POLL_S = 0.1
# How soon a Ctrl-C is noticed while Ansible is silent.
WAKE_S = 1


@dataclass(frozen=True, slots=True)
class Playbook:
    """A playbook run: the file, its variables and environment (roles and modules among them), and its run directory."""

    file: Path
    variables: Mapping[str, object]
    environment: Mapping[str, str]
    run_directory: Path
    progress_file: Path
    check_mode: bool = False


@dataclass(slots=True)
class Outcome:
    """How a run ended: tasks that changed something, per role, and the results of the ``emerge`` module."""

    changed_tasks: list[str] = field(default_factory=list)
    packages: list[dict[str, Any]] = field(default_factory=list)
    failure: ConvergeError | None = None


def run(playbook: Playbook, view: View, monitor: Monitor) -> Outcome:
    """Run ``playbook`` inside ``view`` and return what it changed. Raises ``ConvergeError`` for the first failed task.

    KeyboardInterrupt ends Ansible and everything below it first, and is then raised again.
    """
    from ansible_runner.config.runner import RunnerConfig  # noqa: PLC0415  (0.3 s that --help must not pay)
    from ansible_runner.runner import Runner  # noqa: PLC0415

    directory = playbook.run_directory
    directory.mkdir(parents=True, exist_ok=True)
    _prepare(playbook)
    config = RunnerConfig(
        private_data_dir=str(directory),
        playbook=str(playbook.file),
        inventory=str(directory / "inventory" / "hosts"),
        ident="ansible",
        quiet=True,
        json_mode=False,
        cmdline="--check --diff" if playbook.check_mode else None,
    )
    config.prepare()
    config.suppress_ansible_output = True
    # Not through its #! line, which a deep directory makes longer than the kernel reads.
    program = [sys.executable, str(Path(sys.prefix) / "bin" / "ansible-playbook")]
    # Whatever the umask of whoever runs this: files that a role or a build makes are for everybody to read.
    fixed_umask = ["/bin/sh", "-c", 'umask 022; exec "$@"', "sh"]
    config.command = list(view.command([*fixed_umask, *program, *config.command[1:]]))
    config.env = {**_runner_environment(config.env), **playbook.environment}
    config.cwd = str(directory)
    config.pexpect_timeout = WAKE_S
    reader = _Reader(monitor, playbook.progress_file)
    interrupted = threading.Event()
    runner = Runner(config, event_handler=reader.task_event, cancel_callback=interrupted.is_set, remove_partials=True)
    with _sigint_sets(interrupted), _following(reader):
        status, code = runner.run()
    if interrupted.is_set():
        raise KeyboardInterrupt
    if reader.outcome.failure is not None:
        raise reader.outcome.failure
    if status != "successful" or code != 0:
        raise _unexplained(directory, status, code)
    return reader.outcome


def _prepare(playbook: Playbook) -> None:
    inventory = playbook.run_directory / "inventory" / "hosts"
    inventory.parent.mkdir(parents=True, exist_ok=True)
    inventory.write_text("[layer]\nstage ansible_connection=local\n", encoding="utf-8")
    # In a file: the kernel reads no argument longer than 128 KiB, and the packages of a real layer are longer than that.
    variables = playbook.run_directory / "env" / "extravars"
    variables.parent.mkdir(exist_ok=True)
    variables.write_text(json.dumps(playbook.variables), encoding="utf-8")
    playbook.progress_file.parent.mkdir(parents=True, exist_ok=True)
    playbook.progress_file.write_bytes(b"")


def _runner_environment(own: Mapping[str, Any]) -> dict[str, Any]:
    """ansible-runner's own variables, without the rest of our environment that it copies."""
    kept = ("AWX_", "RUNNER_", "ANSIBLE_CALLBACK", "ANSIBLE_STDOUT_CALLBACK")
    return {name: value for name, value in own.items() if name.startswith(kept)} | {"PATH": SYSTEM_PATH}


@contextmanager
def _sigint_sets(flag: threading.Event) -> Iterator[None]:
    """While Ansible runs, Ctrl-C asks the runner to stop it, and does not tear the supervisor away from its children."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = signal.signal(signal.SIGINT, lambda *_: flag.set())
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)


@contextmanager
def _following(reader: _Reader) -> Iterator[None]:
    """Read what the emerge module appends to its progress file, from a thread, until the block ends."""
    done = threading.Event()

    def follow() -> None:
        while not done.wait(POLL_S):
            reader.read_packages()

    thread = threading.Thread(target=follow, name="emerge progress")
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
        reader.read_packages()


class _Reader:
    """Turns Ansible's events and the emerge module's lines into ours; the monitor hears from one thread at a time."""

    def __init__(self, monitor: Monitor, progress_file: Path) -> None:
        self.monitor = monitor
        self.outcome = Outcome()
        self.progress_file = progress_file
        self.lock = threading.RLock()
        self.offset = 0
        self.role: str | None = None
        self.role_began = 0.0
        self.role_changed = False

    def tell(self, event: Event) -> None:
        with self.lock:
            self.monitor.tell(event)

    def read_packages(self) -> None:
        """Tell what the emerge module has appended since the last time; a line that is not whole yet is left for the next."""
        with self.lock:
            with self.progress_file.open("rb") as stream:
                stream.seek(self.offset)
                text = stream.read()
            complete = text.rfind(b"\n") + 1
            self.offset += complete
            for line in text[:complete].decode("utf-8", "replace").splitlines():
                self._package_event(line)

    def _package_event(self, line: str) -> None:
        try:
            event = json.loads(line)
            if event["event"] in ("note", "step"):
                self._said(event)
                return
            package, done, total = str(event["package"]), int(event["done"]), int(event["total"])
            if event["event"] == "phase":
                self.tell(PackagePhase(package, str(event["phase"]), done, total))
            elif event["event"] == "finished":
                self.tell(PackageFinished(package, done, total, float(event["elapsed_s"]), event.get("binary") is True))
        except (ValueError, KeyError, TypeError):
            log.debug("not a progress line: %r", line)

    def _said(self, event: Mapping[str, Any]) -> None:
        """A sentence, or the begin or end of a step within a role."""
        if event["event"] == "note":
            self.tell(Note(str(event["text"])))
        elif event["state"] == "started":
            self.tell(StepStarted(str(event["step"])))
        else:
            self.tell(StepFinished(str(event["step"]), float(event["elapsed_s"]), str(event["state"])))

    def task_event(self, event: Mapping[str, Any]) -> bool:
        """Called by ansible-runner for each event; True keeps the event in the run directory."""
        self.read_packages()  # a role's packages are told before its end
        data = event.get("event_data", {})
        kind = event.get("event")
        if kind == "playbook_on_task_start":
            self._enter(str(data.get("role") or "playbook"))
        elif kind == "runner_on_ok":
            self._ok(data)
        elif kind in ("runner_on_failed", "runner_on_unreachable") and not data.get("ignore_errors"):
            self._failed(data)
        elif kind == "playbook_on_stats":
            self._leave("failed" if self.outcome.failure else None)
        return True

    def _enter(self, role: str) -> None:
        if role == self.role:
            return
        self._leave(None)
        self.role, self.role_began, self.role_changed = role, time.monotonic(), False
        self.tell(StepStarted(f"role {role}"))

    def _leave(self, outcome: str | None) -> None:
        if self.role is not None:
            word = outcome or ("done" if self.role_changed else "unchanged")
            self.tell(StepFinished(f"role {self.role}", time.monotonic() - self.role_began, word))
        self.role = None

    def _ok(self, data: Mapping[str, Any]) -> None:
        result = data.get("res", {})
        if data.get("task_action") == "emerge":
            self.outcome.packages = list(result.get("packages", ()))
        if result.get("changed"):
            self.role_changed = True
            self.outcome.changed_tasks.append(f"{data.get('role')}: {data.get('task')}")

    def _failed(self, data: Mapping[str, Any]) -> None:
        if self.outcome.failure is None:
            self.outcome.failure = failure(str(data.get("role") or ""), str(data.get("task")), data.get("res", {}))


def failure(role: str, task: str, result: Mapping[str, Any]) -> ConvergeError:
    """The error for a task that failed: its role and name, and for a package also phase, log and last lines."""
    found = result.get("failure")
    where = f"role {role}, task '{task}'" if role else f"task '{task}'"
    if not isinstance(found, dict):
        said = [str(result[key]).strip() for key in ("msg", "module_stderr", "stderr") if result.get(key)]
        return ConvergeError(f"{where} failed", cause="\n".join(said)[-2000:])
    if "stage" in found:
        return _failed_stage(found)
    package = found.get("package") or "emerge"
    phase = f" in phase {found['phase']}" if found.get("phase") else f" ({found.get('kind', 'other')})"
    lines = [*found.get("last_lines", ()), f"log: {found.get('log', '')}"]
    hint = HINTS.get(str(found.get("kind")))
    return ConvergeError(f"{where}: {package} failed{phase}", cause="\n".join(lines), hint=hint)


def _failed_stage(found: Mapping[str, Any]) -> ConvergeError:
    """The error for a stage of a bootstrap: its last lines, and what it would have downloaded."""
    lines = [*found.get("last_lines", ()), f"log: {found.get('log', '')}"]
    missing = list(found.get("refused", ()))
    hint = "what is finished stays; the next run begins this stage again, and the script goes on where it can"
    if missing:
        lines += ["it asked for files that are not declared:", *(f"  {url}" for url in missing[:_SHOWN])]
        lines += [f"  and {len(missing) - _SHOWN} more"] if len(missing) > _SHOWN else []
        hint = "declare those that it cannot do without in bootstrap.sources, with size and SHA-256; it tries several of some"
    return ConvergeError(f"bootstrap-prefix.sh failed in {found['stage']}: {found['ending']}", cause="\n".join(lines), hint=hint)


_SHOWN = 12


# The next step for each kind of failure the emerge module tells apart.
HINTS: Mapping[str, str] = {
    "fetch": "no source had the file; put it into the distfiles directory, or name another mirror in layer.yaml",
    "digest": "a source file is not what the Manifest says, and was put aside; put the right one into the distfiles directory",
    "phase": "read the log; what was built before this package is kept, and the next run goes on from there",
    "killed": "run the same command again; it goes on where this run was stopped",
}


def _unexplained(directory: Path, status: str, code: int) -> ConvergeError:
    """The error for a run that ended badly without a failed task, such as a playbook that cannot be parsed."""
    said = []
    for name in ("stderr", "stdout"):
        path = directory / "artifacts" / "ansible" / name
        if path.is_file():
            said += path.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-8:]
    return ConvergeError(
        f"Ansible ended with status '{status}' and exit code {code}",
        cause="\n".join([*said, f"log: {directory / 'artifacts' / 'ansible' / 'stdout'}"]),
    )
