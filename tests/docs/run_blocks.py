"""Runs the fenced `sh`, `python` and `javascript` blocks of the pages as a reader would: in order, in one folder, against one
running server. Must not change the repository: it works in a copy.

A block tagged `no-test` is left out; `make up` is this program's own start of the server. A line `<!-- expect: TEXT -->` below a
block says what its output must hold.

    python tests/docs/run_blocks.py [PAGE …]
"""

import dataclasses
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from madang import REPO, Server, binary, environment  # noqa: E402

LISTEN = ("127.0.0.1", 7080)
BLOCK_S_MAX = 180
OPEN = re.compile(r"^ {0,3}```(\w+)[ \t]*([^\n`]*)$")
EXPECT = re.compile(r"<!--\s*expect:\s*(.*?)\s*-->")
# Runs a block and hands its variables and folder on to the next, as one terminal would.
SHELL = 'set -a; . "$1/environment" 2>/dev/null; set +a; cd "$(cat "$1/folder")" || exit; set -eo pipefail; . "$1/block"; export -p > "$1/environment"; pwd > "$1/folder"'


@dataclasses.dataclass
class Block:
    page: str
    line: int
    language: str
    tags: list[str]
    text: str
    expected: list[str]

    @property
    def place(self) -> str:
        return f"{self.page}:{self.line}"


def blocks(page: str, text: str) -> list[Block]:
    found, block, after = [], None, None
    for number, line in enumerate(text.splitlines(), 1):
        if block is None and (opened := OPEN.match(line)):
            block = Block(page, number, opened[1], opened[2].split(), "", [])
            after = None
        elif block is not None and line.strip() == "```":
            found.append(block)
            block, after = None, block
        elif block is not None:
            block.text += line + "\n"
        elif after and (expect := EXPECT.search(line)):
            after.expected.append(expect[1])
        elif line.strip():
            # An expectation stands right below its block.
            after = None
    return found


def pages(names: list[str]) -> list[Path]:
    if names:
        return [Path(name).resolve() for name in names]
    return [*sorted(REPO.glob("README*.md")), *sorted((REPO / "docs").glob("*.md"))]


def copy_tree(to: Path) -> None:
    """What git tracks or would, without what builds leave."""
    names = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=REPO, check=True, capture_output=True
    ).stdout
    for name in filter(None, names.decode().split("\0")):
        if (REPO / name).is_file():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(REPO / name, to / name)
    (to / "target" / "release").mkdir(parents=True)
    (to / "target" / "release" / "madang").symlink_to(binary())
    if (REPO / "tests/js/node_modules").is_dir():
        (to / "node_modules").symlink_to(REPO / "tests/js/node_modules")


def command(block: Block, state: Path, tree: Path) -> list[str]:
    if block.language == "sh":
        (state / "block").write_text(block.text)
        return ["bash", "-c", SHELL, "block", str(state)]
    ending, program = {"python": ("py", sys.executable), "javascript": ("mjs", "node")}[block.language]
    path = tree / f"block-{block.line}.{ending}"
    path.write_text(block.text)
    return [program, str(path)]


def run(block: Block, state: Path, tree: Path) -> str | None:
    """What is wrong with the block, or nothing."""
    try:
        done = subprocess.run(
            command(block, state, tree), cwd=tree, env=environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, timeout=BLOCK_S_MAX,
        )
    except subprocess.TimeoutExpired as timeout:
        return f"still running after {timeout.timeout:.0f} s\n{timeout.stdout}"
    if done.returncode:
        return f"exit {done.returncode}\n{done.stdout}"
    missing = [text for text in block.expected if text not in done.stdout]
    return f"{missing} is not in the output\n{done.stdout}" if missing else None


def main(names: list[str]) -> int:
    wanted = [block for page in pages(names) for block in blocks(os.path.relpath(page, REPO), page.read_text(encoding="utf-8"))]
    wanted = [block for block in wanted if block.language in ("sh", "python", "javascript")]
    skipped = [block for block in wanted if "no-test" in block.tags]
    todo = [block for block in wanted if block not in skipped and block.text.strip() != "make up"]
    with socket.socket() as probe:
        if probe.connect_ex(LISTEN) == 0:
            print(f"{LISTEN[0]}:{LISTEN[1]} is in use: the pages' commands need it", file=sys.stderr)
            return 1
    with tempfile.TemporaryDirectory(prefix="madang-docs-") as scratch:
        tree, state = Path(scratch) / "madang", Path(scratch) / "state"
        tree.mkdir()
        state.mkdir()
        copy_tree(tree)
        (state / "folder").write_text(f"{tree}\n")
        server = Server(tree, listen=f"{LISTEN[0]}:{LISTEN[1]}")
        try:
            server.wait_ready()
            failed = 0
            for block in todo:
                began = time.monotonic()
                wrong = run(block, state, tree)
                failed += wrong is not None
                print(f"{'ok  ' if wrong is None else 'FAIL'} {block.place} {block.language} {time.monotonic() - began:.1f} s", flush=True)
                if wrong:
                    print(block.text + wrong, flush=True)
            if failed:
                print(server.log())
            server.stop()
        finally:
            server.kill()
    print(f"{len(todo) - failed} blocks passed, {failed} failed, {len(skipped)} tagged no-test")
    return 1 if failed or not todo else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
