"""Portage's worker dies, hangs, or talks rubbish: always an error with its last words, never a hang, never a zombie."""

from __future__ import annotations

import os
import signal
import threading
import time
import venv
from collections.abc import Callable
from pathlib import Path

import pytest

from compatlayer.gentoo.client import Worker
from compatlayer.gentoo.pipe import WorkerError
from tests.ebuild_repository import TinyRepository, write_root

pytestmark = pytest.mark.faults


def gone(pid: int) -> bool:
    """Whether no process has this id any more, not even as a zombie of ours."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


@pytest.fixture
def scripted(tmp_path: Path) -> Callable[[str], Worker]:
    """A worker whose script is given: what it does with the first request on standard input."""

    def start(body: str, **options: float) -> Worker:
        script = tmp_path / "script.py"
        script.write_text(f"import json, os, signal, sys, time\nline = sys.stdin.readline()\n{body}\n")
        return Worker(script=script, **options)  # type: ignore[arg-type]

    return start


@pytest.fixture
def slow_root(tmp_path: Path) -> Path:
    """A root whose one ebuild takes a minute to source."""
    tree = TinyRepository(tmp_path / "tiny")
    # Nobody ever writes there; global scope has no programs at hand, only what bash itself can do.
    os.mkfifo(tmp_path / "silence")
    tree.ebuild("app-misc/slow-1", cache=False, phases=f'\nread -r -t 60 _ <> "{tmp_path}/silence"\n')
    return write_root(tmp_path / "root", [tree])


def listeners(root: Path) -> list[str]:
    """Processes that wait at the slow root's FIFO."""
    silence = root.parent / "silence"
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and any(os.path.samefile(file, silence) for file in (entry / "fd").iterdir()):
                found.append((entry / "cmdline").read_text().replace("\0", " "))
        except OSError:
            continue
    return found


def wait_for_listeners(root: Path) -> None:
    """Until the ebuild is being sourced."""
    deadline = time.monotonic() + 20
    while not listeners(root):
        assert time.monotonic() < deadline, "the ebuild is never sourced"
        time.sleep(0.02)


def nobody_listens(root: Path) -> bool:
    """Whether all that the worker had started is gone, given a moment to die."""
    deadline = time.monotonic() + 5
    while listeners(root) and time.monotonic() < deadline:
        time.sleep(0.02)
    return listeners(root) == []


def test_a_worker_killed_in_the_middle_of_a_request_is_an_error_and_reaped(slow_root: Path) -> None:
    with Worker() as worker:

        def kill_it() -> None:
            wait_for_listeners(slow_root)
            os.kill(worker.pid, signal.SIGKILL)

        killer = threading.Thread(target=kill_it)
        killer.start()
        with pytest.raises(WorkerError) as caught:
            worker.closure(slow_root, ["app-misc/slow"])
        killer.join()
        assert caught.value.fact == "Portage's worker was killed by SIGKILL during 'closure'"
        assert caught.value.exit_code == 3
        assert gone(worker.pid)
        assert nobody_listens(slow_root)
        with pytest.raises(WorkerError, match="is no longer running"):
            worker.closure(slow_root, ["app-misc/slow"])


def test_a_worker_that_hangs_is_ended_with_all_it_started(slow_root: Path) -> None:
    with Worker(timeout_s=2.5) as worker:
        watcher = threading.Thread(target=wait_for_listeners, args=(slow_root,))
        watcher.start()
        with pytest.raises(WorkerError) as caught:
            worker.closure(slow_root, ["app-misc/slow"])
        watcher.join()
        assert caught.value.fact == "Portage's worker did not answer 'closure' within 2.5 s"
        assert gone(worker.pid)
        assert nobody_listens(slow_root)


def test_a_worker_that_does_not_even_read_is_a_time_out(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text("import time\ntime.sleep(60)\n")
    with Worker(script=script, timeout_s=0.5) as worker:
        with pytest.raises(WorkerError, match=r"did not answer 'closure' within 0.5 s"):
            worker.closure(tmp_path, ["cat/" + "x" * 1_000_000])
        assert gone(worker.pid)


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("Calculating dependencies... done!", "it said: Calculating dependencies... done!"),
        ("[1, 2]", "it said: [1, 2]"),
        ('{"id": 99, "ok": {}}', 'it said: {"id": 99, "ok": {}}'),
        ("null", "it said: null"),
    ],
)
def test_rubbish_on_standard_output_is_an_error_that_shows_it(scripted, said: str, shown: str) -> None:
    with scripted(f"print({said!r}, flush=True); time.sleep(60)") as worker:
        with pytest.raises(WorkerError) as caught:
            worker.versions  # noqa: B018 - asks
        assert caught.value.fact == "Portage's worker answered 'hello' with rubbish"
        assert caught.value.cause == shown
        assert gone(worker.pid)


def test_bytes_that_are_no_text_are_shown_and_survived(scripted) -> None:
    with scripted(
        r"sys.stdout.buffer.write(b'\xff\xfe\n'); sys.stdout.flush(); sys.stderr.buffer.write(b'\xff oops\n')"
    ) as worker:
        with pytest.raises(WorkerError) as caught:
            worker.versions  # noqa: B018 - asks
        assert r"it said: \xff\xfe" in str(caught.value)


def test_the_last_words_are_quoted_and_only_the_last(scripted) -> None:
    body = "for n in range(5000): print('line', n, file=sys.stderr)\nsys.exit(7)"
    with scripted(body) as worker, pytest.raises(WorkerError) as caught:
        worker.versions  # noqa: B018 - asks
    assert caught.value.fact == "Portage's worker ended with exit code 7 during 'hello'"
    quoted = (caught.value.cause or "").splitlines()
    assert quoted[0] == "its last words:"
    assert quoted[1:] == [f"line {number}" for number in range(4988, 5000)]


def test_a_worker_that_closes_its_pipe_but_stays_is_ended(scripted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("compatlayer.gentoo.pipe.CLOSE_TIMEOUT_S", 0.3)
    with scripted("os.close(1); time.sleep(60)") as worker:
        with pytest.raises(WorkerError, match="was killed by SIGKILL during 'hello'"):
            worker.versions  # noqa: B018 - asks
        assert gone(worker.pid)


def test_half_an_answer_and_then_death_is_an_error(scripted) -> None:
    half = '{"id": 1, "ok"'
    body = f"sys.stdout.write({half!r}); sys.stdout.flush(); os.kill(os.getpid(), signal.SIGSEGV)"
    with scripted(body) as worker, pytest.raises(WorkerError, match="was killed by SIGSEGV during 'hello'"):
        worker.versions  # noqa: B018 - asks


def test_a_bug_in_the_worker_is_told_with_its_traceback(tmp_path: Path) -> None:
    with Worker() as worker:
        with pytest.raises(WorkerError) as caught:
            worker._ask("match", {"atoms": ["!!"], "packages": []})
        assert caught.value.fact.startswith("Portage's worker could not carry out 'match': InvalidAtom: ")
        assert "Traceback" in (caught.value.cause or "")
        with pytest.raises(WorkerError, match="unknown operation 'nonsense'"):
            worker._ask("nonsense", {})
        # Neither has ended it.
        assert worker.versions.portage


def test_a_python_without_portage_says_so(tmp_path: Path) -> None:
    venv.create(tmp_path / "bare", with_pip=False, symlinks=True)
    with Worker(python=tmp_path / "bare/bin/python") as worker, pytest.raises(WorkerError) as caught:
        worker.versions  # noqa: B018 - asks
    assert caught.value.fact == f"{tmp_path}/bare/bin/python has no Portage"


def test_a_python_that_does_not_exist_says_so(tmp_path: Path) -> None:
    with pytest.raises(Exception, match="python-none is not installed or not on PATH"):
        Worker(python=tmp_path / "python-none")


def test_leaving_the_context_ends_the_worker_even_in_an_error() -> None:
    worker = Worker()

    def fail_inside() -> None:
        with worker:
            assert worker.versions.portage
            raise RuntimeError("ours")

    with pytest.raises(RuntimeError, match="ours"):
        fail_inside()
    assert gone(worker.pid)
    worker.close()


def test_an_interruption_ends_the_worker(slow_root: Path) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        with Worker() as worker:
            assert worker.versions.portage
            signal.setitimer(signal.ITIMER_REAL, 0.7)
            with pytest.raises(KeyboardInterrupt):
                worker.closure(slow_root, ["app-misc/slow"])
            assert gone(worker.pid)
            assert nobody_listens(slow_root)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_what_an_ebuild_prints_never_reaches_the_answers(tmp_path: Path) -> None:
    tree = TinyRepository(tmp_path / "tiny")
    tree.ebuild("app-misc/chatty-1", cache=False, phases="\necho stdout; echo stderr >&2; cat; python3 -c 'print(1)'\n")
    tree.ebuild("app-misc/fine-1")
    root = write_root(tmp_path / "root", [tree])
    with Worker(timeout_s=30) as worker:
        worker.metadata_cache(root, "tiny")
        assert len(worker.closure(root, ["app-misc/fine"]).packages) == 1


def test_many_requests_do_not_add_up_in_memory(tmp_path: Path) -> None:
    tree = TinyRepository(tmp_path / "tiny")
    for number in range(20):
        tree.ebuild(f"app-misc/p{number}-1", rdepend=f"app-misc/p{number - 1}" if number else "")
    root = write_root(tmp_path / "root", [tree])
    with Worker() as worker:

        def peak_kib() -> int:
            status = Path(f"/proc/{worker.pid}/status").read_text()
            return int(status.partition("VmRSS:")[2].split()[0])

        for _ in range(30):
            worker.closure(root, ["app-misc/p19"])
        settled = peak_kib()
        for _ in range(60):
            worker.closure(root, ["app-misc/p19"])
        assert peak_kib() - settled < 12 * 1024
        assert peak_kib() < 100 * 1024
