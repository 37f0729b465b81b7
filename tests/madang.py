"""The binary as its users meet it: started, asked, stopped. Must not look inside it: everything goes through its command line,
its files and its port."""

import contextlib
import fcntl
import json
import os
import re
import signal
import subprocess
import termios
import time
from pathlib import Path

REPO = Path(__file__).resolve().parent.parent
# The first start fetches half a gigabyte.
FIRST_START_S_MAX = 900
STOP_S_MAX = 40
LOOK_S = 0.05
READY_LINE = "Stop with Ctrl-C."


def binary() -> Path:
    """MADANG_BIN, or what the workspace's tests have built."""
    path = Path(os.environ.get("MADANG_BIN") or REPO / "target" / "debug" / "madang").resolve()
    if not path.is_file():
        raise SystemExit(f"{path} is missing: cargo build -p madang")
    return path


def environment(**more) -> dict[str, str]:
    """Ours without the MADANG_ variables of whoever runs the tests, but for the cache of models and engines."""
    kept = {name: text for name, text in os.environ.items() if not name.startswith("MADANG_") or name == "MADANG_CACHE"}
    return kept | {name: str(text) for name, text in more.items()}


class Server:
    """One `madang up`. `terminal`: the far end of a pseudo-terminal whose foreground it shall be."""

    def __init__(self, folder: Path, *, listen="127.0.0.1:0", arguments=(), command=None, terminal=None):
        self.folder = folder
        self.data = folder / "madang-data"
        self.folder.mkdir(parents=True, exist_ok=True)
        self.starts_count = len(list(folder.glob("up-*.out")))
        self.out = folder / f"up-{self.starts_count}.out"
        self.err = folder / f"up-{self.starts_count}.err"
        command = command or [binary(), "up", "--listen", listen, "--data", self.data, *arguments]
        self.started_at = time.monotonic()
        with self.out.open("wb") as out, self.err.open("wb") as err:
            self.process = subprocess.Popen(
                [str(word) for word in command], stdin=subprocess.DEVNULL if terminal is None else terminal, stdout=out, stderr=err,
                cwd=folder, env=environment(),
                **({"process_group": 0} if terminal is None else {"preexec_fn": take_terminal}),
            )
        self.descendants: set[tuple[int, str]] = set()

    def wait_ready(self, seconds_max=FIRST_START_S_MAX) -> float:
        """Seconds from the start to the welcome."""
        while READY_LINE not in self.welcome():
            waited = time.monotonic() - self.started_at
            if self.process.poll() is not None:
                raise AssertionError(f"madang up ended with {self.process.returncode}\n{self.log()}")
            if waited > seconds_max:
                raise AssertionError(f"no welcome after {waited:.0f} s\n{self.log()}")
            time.sleep(LOOK_S)
        self.descendants = descendants(self.process.pid)
        return time.monotonic() - self.started_at

    def welcome(self) -> str:
        return self.out.read_text(encoding="utf-8", errors="replace")

    def log(self, chars_max=2_500) -> str:
        """The end of its log, for a failed test's report; what it printed is long and always the same once it is there."""
        err = self.err.read_text(encoding="utf-8", errors="replace")
        out = "(the welcome)" if READY_LINE in self.welcome() else self.welcome()[-chars_max:]
        return f"--- standard output\n{out}\n--- standard error\n{err[-chars_max:]}"

    @property
    def url(self) -> str:
        found = re.search(r"serves at (http://\S+)/v1", self.welcome())
        assert found, self.log()
        return found.group(1)

    @property
    def base_url(self) -> str:
        return self.url + "/v1"

    @property
    def tenant_key(self) -> str:
        return (self.data / "tenant.key").read_text().strip()

    @property
    def operator_key(self) -> str:
        return (self.data / "operator.key").read_text().strip()

    def cli(self, *arguments, code=0) -> str:
        """Runs a client command against this server; its standard output."""
        done = subprocess.run(
            [str(binary()), *map(str, arguments)], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60,
            cwd=self.folder, env=environment(MADANG_DATA=self.data),
        )
        words = " ".join(map(str, arguments))
        assert done.returncode == code, f"madang {words}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def cli_json(self, *arguments):
        return json.loads(self.cli(*arguments, "--json"))

    def stop(self, how=signal.SIGTERM, terminal=None) -> None:
        """Stops it and looks that nothing stays behind. `terminal`: the near end of a pseudo-terminal, to press Ctrl-C at."""
        self.descendants |= descendants(self.process.pid)
        if terminal is not None:
            os.write(terminal, b"\x03")
        elif self.process.poll() is None:
            self.process.send_signal(how)
        try:
            code = self.process.wait(STOP_S_MAX)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"madang up still ran {STOP_S_MAX} s after {how!r}\n{self.log()}") from None
        left = wait_gone(self.descendants)
        assert code == 0, f"madang up ended with {code} after {how!r}\n{self.log()}"
        assert not left, f"left behind: {left}\n{self.log()}"

    def kill(self) -> None:
        """For the end of a failed test."""
        below = self.descendants | descendants(self.process.pid)
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for pid, started in below:
            if (about := stat(pid)) and about[1] == started:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


def take_terminal() -> None:
    """Makes standard input the terminal whose keys reach this process."""
    os.setsid()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def stat(pid: int) -> tuple[int, str] | None:
    """Parent and start time, or nothing where the process is gone or only waits to be reaped."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else (int(fields[1]), fields[19])


def descendants(root: int) -> set[tuple[int, str]]:
    """Pids below `root` with their start times, which tell a process from a later one with the same number."""
    seen = {int(entry.name): stat(int(entry.name)) for entry in Path("/proc").iterdir() if entry.name.isdigit()}
    found, grew = {root}, True
    while grew:
        more = {pid for pid, about in seen.items() if about and about[0] in found} - found
        found, grew = found | more, bool(more)
    return {(pid, seen[pid][1]) for pid in found - {root} if seen.get(pid)}


def wait_gone(processes: set[tuple[int, str]], seconds_max=10) -> list[str]:
    """What of these still runs in the end, as command lines."""
    until = time.monotonic() + seconds_max
    while True:
        left = [pid for pid, started in processes if (about := stat(pid)) and about[1] == started]
        if not left or time.monotonic() > until:
            return [f"{pid}: {command_line(pid)}" for pid in left]
        time.sleep(LOOK_S)


def command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return "gone"
