"""Real Ansible on a directory that plays the prefix: a role, converged several times in one run, without any view."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from compatlayer import playbook
from compatlayer.converge import Places
from compatlayer.converge.variables import ansible_environment
from compatlayer.errors import ConvergeError
from compatlayer.playbook import Playbook
from compatlayer.progress import Monitor
from compatlayer.stage import View, unbound

Variables = Mapping[str, object]


@dataclass(frozen=True)
class Ran:
    """One converge of the role: the tasks that changed something, and every task's result."""

    changed: list[str]
    results: list[dict[str, Any]]
    diffs: str


@dataclass
class Bench:
    """A directory with ``prefix/``, and the program's own way to run a playbook on it."""

    directory: Path
    view: View | None = None
    runs: int = field(default=0)

    @property
    def prefix(self) -> Path:
        return self.directory / "prefix"

    def converge(self, role: str, *variables: Variables, check_mode: bool = False) -> list[Ran]:
        """Converge ``role`` once for each set of variables, in order, and return what each did. Raises ``ConvergeError``."""
        self.runs += 1
        places = Places(self.directory, self.directory / f"run{self.runs}", "part")
        places.make()
        plays = [
            {"name": str(number), "hosts": "layer", "gather_facts": False, "vars": dict(each), "roles": [role]}
            for number, each in enumerate(variables)
        ]
        file = places.run / "play.yml"
        file.write_text(yaml.safe_dump(plays))
        playbook.run(
            Playbook(
                file=file,
                variables={},
                environment=ansible_environment(places, bound=False),
                run_directory=places.run,
                progress_file=places.run / "progress.jsonl",
                check_mode=check_mode,
            ),
            self.view or unbound(PurePosixPath(self.prefix)),
            Monitor(),
        )
        return [self._ran(places.run, str(number)) for number in range(len(variables))]

    def refusal(self, role: str, variables: Variables) -> ConvergeError:
        """Converge ``role``, which has to fail, and return the error that a person sees."""
        try:
            self.converge(role, variables)
        except ConvergeError as error:
            return error
        raise AssertionError(f"the role {role} took {variables}")

    def files(self) -> dict[str, str]:
        """Everything in the prefix: files with their text, links with ``-> target``, directories with ``/``."""
        found = {}
        for path in sorted(self.prefix.rglob("*")):
            name = str(path.relative_to(self.prefix))
            if path.is_symlink():
                found[name] = f"-> {path.readlink()}"
            else:
                found[name] = "/" if path.is_dir() else path.read_text()
        return found

    def write(self, name: str, text: str = "") -> Path:
        """Write a file below the prefix."""
        path = self.prefix / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def link(self, name: str, target: str | Path) -> None:
        """Make a link below the prefix."""
        path = self.prefix / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(target)

    @staticmethod
    def _ran(run: Path, play: str) -> Ran:
        read = [json.loads(path.read_text()) for path in (run / "artifacts/ansible/job_events").glob("*.json")]
        events = [
            event["event_data"] for event in sorted(read, key=lambda one: one["counter"]) if event["event"] == "runner_on_ok"
        ]
        events = [event for event in events if event["play"] == play]
        diffs = json.dumps([event["res"].get("diff") for event in events])
        return Ran([event["task"] for event in events if event["res"].get("changed")], [event["res"] for event in events], diffs)
