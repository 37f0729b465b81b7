"""The JavaScript SDK's tests run with Node's own runner against the same server."""

import subprocess

from madang import REPO, environment


def test_the_javascript_sdk(server):
    done = subprocess.run(
        ["node", "--test", "--test-reporter=spec", "sdk.test.mjs"], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300,
        cwd=REPO / "tests" / "js", env=environment(BASE_URL=server.base_url, TENANT_KEY=server.tenant_key),
    )
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
