"""What `madang up` prints works as pasted, a second start is quick and quiet, and `make up` is stopped by Ctrl-C."""

import os
import re
import signal
import subprocess
import sys

import openai
from conftest import CHAT
from madang import REPO, STOP_S_MAX, Server, binary, environment, wait_gone

# A second start has nothing to fetch.
SECOND_START_S_MAX = 60


def printed(welcome, start, end):
    found = re.search(re.escape(start) + r"\n\n(.*?)\n\n" + re.escape(end), welcome, re.DOTALL)
    assert found, welcome
    return found.group(1)


def run(command, text):
    done = subprocess.run([*command, text], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=180, env=environment())
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


def test_the_printed_curl_command(server):
    text = printed(server.welcome(), "Try it with curl:", "or with Python (pip install openai):")
    assert "서울" in run(["bash", "-c"], text)


def test_the_printed_python_program(server):
    text = printed(server.welcome(), "or with Python (pip install openai):", "Stop with Ctrl-C.")
    assert "Seoul" in run([sys.executable, "-c"], text)


def test_the_welcome_is_honest_and_the_keys_are_private(server):
    assert "very small" in server.welcome()
    assert server.welcome().count(server.tenant_key) == 1
    assert server.operator_key not in server.welcome() + server.err.read_text()
    for name in ("tenant.key", "operator.key"):
        assert (server.data / name).stat().st_mode & 0o777 == 0o600


def test_the_second_start_is_quick_and_keeps_the_key_to_itself(tmp_path):
    first = Server(tmp_path)
    try:
        first.wait_ready()
        key = first.tenant_key
        first.stop(signal.SIGINT)
        second = Server(tmp_path)
        try:
            second.wait_ready(SECOND_START_S_MAX)
            assert key not in second.welcome() + second.err.read_text() and second.tenant_key == key
            with openai.OpenAI(base_url=second.base_url, api_key=key, max_retries=0, timeout=60) as client:
                hello = [{"role": "user", "content": "Say hello."}]
                assert client.chat.completions.create(model=CHAT, messages=hello, max_tokens=1).choices
            second.stop()
        finally:
            second.kill()
    finally:
        first.kill()


def test_make_up_ends_well_with_ctrl_c(tmp_path):
    """The README's command at a terminal, with the binary that is built already, so that one profile is compiled and not two."""
    make = ["make", "--no-print-directory", "-C", REPO, "up", f"ARGS=--listen 127.0.0.1:0 --data {tmp_path / 'madang-data'}"]
    near, far = os.openpty()
    server = Server(tmp_path, command=[*make, f"MADANG_BIN={binary()}"], terminal=far)
    try:
        server.wait_ready(SECOND_START_S_MAX)
        assert "chat        " + CHAT in server.welcome()
        server.stop(terminal=near)
    finally:
        server.kill()
        os.close(near)
        os.close(far)


def test_make_up_ends_well_when_make_is_told_to(tmp_path):
    """As a supervisor does it: the signal goes to all processes of the group."""
    make = ["make", "--no-print-directory", "-C", REPO, "up", f"ARGS=--listen 127.0.0.1:0 --data {tmp_path / 'madang-data'}"]
    server = Server(tmp_path, command=[*make, f"MADANG_BIN={binary()}"])
    try:
        server.wait_ready(SECOND_START_S_MAX)
        below = server.descendants
        os.killpg(server.process.pid, signal.SIGTERM)
        server.process.wait(STOP_S_MAX)
        assert wait_gone(below) == []
    finally:
        server.kill()
