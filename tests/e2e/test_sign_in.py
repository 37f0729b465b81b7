"""People sign in, in a browser of a few lines, at two providers that others wrote."""

import contextlib
import html
import http.cookiejar
import json
import re
import socket
import ssl
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request

import pytest
from madang import REPO, Server, binary, environment

CLIENT, SECRET = "madang", "a secret: with + and % in it"
START_S_MAX = 60
# A certificate for `localhost` and its authority, made for tests.
CERTIFICATES = REPO / "crates/gateway/src/client/testdata"

FLEET = """
[[site]]
id = "here"
country = "KR"

[[model]]
id = "m"
context_tokens = 4096

[[replica]]
id = "r1"
site = "here"
model = "m"
url = "http://127.0.0.1:9"
engine = "vllm"
slots = 1

[[tenant]]
id = "kma"

[sign_in]
issuer = "{issuer}"
client_id = "{client}"
key_file = "oidc.key"
public_url = "{public}"
scopes = {scopes}
{trust}

[[sign_in.rule]]
claim = "groups"
value = "operators"
role = "operator"

[[sign_in.rule]]
claim = "groups"
value = "kma"
role = "member"
tenant = "kma"
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Browser(urllib.request.HTTPRedirectHandler):
    """Keeps cookies, follows redirects, and knows where it was."""

    def __init__(self, origin: str, entry="/auth/login?return_to=/api/v1/me"):
        self.origin = origin
        self.entry = entry
        self.history = []
        self.cookies = http.cookiejar.CookieJar()
        trusting = urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=CERTIFICATES / "ca.pem"))
        self.opener = urllib.request.build_opener(self, trusting, urllib.request.HTTPCookieProcessor(self.cookies))

    def redirect_request(self, request, file, code, message, headers, url):
        self.history.append(url)
        return super().redirect_request(request, file, code, message, headers, url)

    def passed(self, path: str) -> str:
        """The last URL of that path that it was sent to."""
        return next(url for url in reversed(self.history) if urllib.parse.urlsplit(url).path == path)

    def ask(self, url: str, form=None, method=None, headers=()):
        """Status, text and last URL."""
        data = None if form is None else urllib.parse.urlencode(form).encode()
        url = urllib.parse.urljoin(self.origin, url)
        request = urllib.request.Request(url, data=data, method=method, headers=dict(headers))
        try:
            answer = self.opener.open(request, timeout=30)
        except urllib.error.HTTPError as error:
            answer = error
        with answer:
            return answer.status, answer.read().decode(), answer.url

    def begin(self):
        """The provider's page and its URL."""
        _, page, url = self.ask(self.entry)
        assert not url.startswith(self.origin), page
        return page, url

    def change(self, method: str, path: str, origin=None):
        """What a page of `origin`, else of Madang's own, has it send."""
        return self.ask(path, method=method, headers={"origin": origin or self.origin})

    def cookie(self, name: str):
        return next((cookie for cookie in self.cookies if cookie.name == name), None)


def form_of(page: str) -> str:
    return html.unescape(re.search(r'<form[^>]*action="([^"]*)"', page)[1])


class Mock:
    """The `oidc-provider-mock` of PyPI. Its tokens hold what a person is given, whatever the scope."""

    scopes, trust, origin = "[]", "", "http://127.0.0.1"
    # It leaves the state out where a person says no, so that nothing ties that to the browser.
    denial = "the answer has no state"

    def command(self, port):
        people = [{"sub": name, "groups": [name.split(".")[0]]} for name in ("operators.kim", "kma.lee", "others.choi")]
        claims = [word for person in people for word in ("--user-claims", json.dumps(person))]
        return ["oidc-provider-mock", "--port", str(port), "--require-nonce", "true", *claims]

    def approve(self, browser, name):
        return browser.ask(browser.begin()[1], {"sub": name})

    def deny(self, browser):
        return browser.ask(browser.begin()[1], {"action": "deny"})


class Certified:
    """The certified `oidc-provider` of npm. It speaks TLS, wants PKCE, takes a code once, and names itself in its answers."""

    scopes, trust, origin = '["groups"]', f'ca_file = "{CERTIFICATES}/ca.pem"', "https://localhost"
    denial = "'access_denied'"

    def command(self, port):
        return ["node", "provider.mjs"]

    def approve(self, browser, name):
        page, url = browser.begin()
        _, page, url = browser.ask(urllib.parse.urljoin(url, form_of(page)), {"prompt": "login", "login": name, "password": "x"})
        return browser.ask(urllib.parse.urljoin(url, form_of(page)), {"prompt": "consent"})

    def deny(self, browser):
        page, url = browser.begin()
        return browser.ask(urllib.parse.urljoin(url, re.search(r'href="([^"]*/abort)"', page)[1]))


@contextlib.contextmanager
def running(provider, algorithm, redirect_uri):
    """The provider's issuer."""
    port = free_port()
    settings = {"PORT": port, "CLIENT_ID": CLIENT, "CLIENT_SECRET": SECRET, "REDIRECT_URI": redirect_uri, "ALGORITHM": algorithm, "CERTIFICATES": CERTIFICATES}
    process = subprocess.Popen(
        provider.command(port), cwd=REPO / "tests" / "js", stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        env=environment(**settings),
    )
    try:
        wait_for(port, process)
        yield f"{provider.origin}:{port}"
    finally:
        process.terminate()
        process.wait(30)


def wait_for(port, process):
    until = time.monotonic() + START_S_MAX
    while time.monotonic() < until and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise AssertionError(f"the provider does not listen at {port}: exit {process.poll()}")


PROVIDERS = [(Mock(), "RS256"), (Certified(), "RS256"), (Certified(), "ES256")]


@pytest.fixture(scope="module", params=PROVIDERS, ids=["mock", "certified-rs256", "certified-es256"])
def world(request, tmp_path_factory):
    """A provider, and a Madang whose people it knows."""
    (provider, algorithm), folder = request.param, tmp_path_factory.mktemp("sign-in")
    listen = f"127.0.0.1:{free_port()}"
    public = f"http://{listen}"
    with running(provider, algorithm, f"{public}/auth/callback") as issuer:
        (folder / "oidc.key").write_text(SECRET, encoding="utf-8")
        fleet = FLEET.format(issuer=issuer, client=CLIENT, public=public, scopes=provider.scopes, trust=provider.trust)
        (folder / "fleet.toml").write_text(fleet)
        server = Server(folder, listen=listen, arguments=["--fleet", folder / "fleet.toml"])
        try:
            server.wait_ready()
            yield provider, server
            server.stop()
        finally:
            server.kill()


def sign_in(world, name):
    """A browser in which somebody has signed in, and what it was shown last."""
    provider, server = world
    browser = Browser(server.url)
    status, text, url = provider.approve(browser, name)
    return browser, status, json.loads(text), url


def code_of(text: str) -> str:
    return json.loads(text)["error"]["code"]


def test_a_person_gets_the_role_of_the_rule_and_no_other(world):
    browser, status, me, url = sign_in(world, "kma.lee")
    assert (status, urllib.parse.urlsplit(url).path) == (200, "/api/v1/me"), me
    assert (me["role"], me["tenant"], me["label"], me["state"]) == ("member", "kma", "oidc:kma.lee", "active")
    cookie = browser.cookie("madang_sign_in")
    assert cookie.has_nonstandard_attr("HttpOnly") and cookie.get_nonstandard_attr("SameSite") == "Lax"
    assert browser.cookie("madang_login") is None

    assert browser.ask("/api/v1/tenants/kma")[0] == 200
    for method, path in [("GET", "/api/v1/status"), ("POST", "/api/v1/reload"), ("POST", "/api/v1/keys")]:
        status, text, _ = browser.change(method, path)
        assert (status, code_of(text)) == (403, "role_forbidden"), path
    status, text, _ = browser.ask("/v1/models")
    assert (status, code_of(text)) == (401, "key_missing"), "models are asked with keys"


def test_an_operator_changes_something_from_our_own_pages_alone(world):
    browser, _, me, _ = sign_in(world, "operators.kim")
    assert me["role"] == "operator"
    status, text, _ = browser.change("POST", "/api/v1/reload", origin="https://evil.example")
    assert (status, code_of(text)) == (403, "origin_forbidden")
    status, text, _ = browser.ask("/api/v1/reload", method="POST")
    assert (status, code_of(text)) == (403, "origin_forbidden"), "a request that does not say where it comes from"
    assert browser.change("POST", "/api/v1/reload")[0] == 200


def test_a_cookie_is_dead_after_signing_out(world):
    browser, *_ = sign_in(world, "kma.lee")
    cookie = browser.cookie("madang_sign_in").value
    assert browser.change("POST", "/auth/logout")[0] == 204
    assert browser.cookie("madang_sign_in") is None
    status, text, _ = browser.ask("/api/v1/me", headers={"cookie": f"madang_sign_in={cookie}"})
    assert (status, code_of(text)) == (401, "key_revoked")
    assert browser.ask("/api/v1/me")[0] == 401


def test_a_person_signs_in_from_the_terminal_and_out_again(world):
    provider, server = world
    file = server.data / "sign-in.key"
    login = subprocess.Popen(
        [binary(), "login", "--no-browser", "--json"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        cwd=server.folder, env=environment(MADANG_DATA=server.data),
    )
    try:
        shown = re.search(r"its page shows (\S{8}):", login.stderr.readline())[1]
        assert login.stderr.readline() == "\n"
        browser = Browser(server.url, entry=login.stderr.readline().strip())
        status, page, _ = provider.approve(browser, "operators.kim")
        assert status == 200 and f"<strong>{shown}</strong>" in page, page
        status, text, url = browser.ask(form_of(page), {}, headers={"origin": server.url})
        assert status == 200 and "the terminal has the answer" in text, text
        assert urllib.parse.urlsplit(url).hostname == "127.0.0.1" and not url.startswith(server.url)
        out, _ = login.communicate(timeout=30)
    finally:
        login.kill()
        login.wait()
    me, key = json.loads(out), file.read_text().strip()
    assert (login.returncode, me["role"], me["label"], me["key_file"]) == (0, "operator", "oidc:operators.kim", str(file))
    assert key not in out and file.stat().st_mode & 0o777 == 0o600
    assert key.removeprefix("mdg_").rpartition("_")[0] == me["id"] != browser.cookie("madang_sign_in").value.removeprefix("mdg_").rpartition("_")[0]
    # The commands take it before the operator's key: what a sign-in makes ends with it.
    server.cli("key", "create", "--tenant", "kma", code=1)
    server.cli("logout")
    assert not file.exists()
    status, text, _ = Browser(server.url).ask("/api/v1/me", headers={"authorization": f"Bearer {key}"})
    assert (status, code_of(text)) == (401, "key_revoked")
    server.cli("logout", code=1)
    server.cli("key", "create", "--tenant", "kma")
    assert key not in server.log(10**9)


def test_who_has_no_rule_is_not_let_in(world):
    browser, status, answer, _ = sign_in(world, "others.choi")
    assert (status, answer["error"]["code"]) == (403, "sign_in_unmapped")
    assert browser.cookie("madang_sign_in") is None


def test_who_says_no_at_the_provider_is_not_let_in(world):
    provider, server = world
    browser = Browser(server.url)
    status, text, _ = provider.deny(browser)
    answer = json.loads(text)["error"]
    assert (status, answer["code"]) == (401, "sign_in_invalid") and provider.denial in answer["message"]


def test_an_answer_counts_once_and_in_its_own_browser(world):
    provider, server = world
    browser = Browser(server.url)
    provider.approve(browser, "kma.lee")
    callback = browser.passed("/auth/callback")
    for other in (browser, Browser(server.url)):
        status, text, _ = other.ask(callback)
        assert (status, code_of(text)) == (401, "sign_in_invalid")


def test_the_books_tell_whose_a_sign_in_is_and_the_audit_log_that_it_was(world):
    provider, server = world
    browser, *_ = sign_in(world, "kma.lee")
    key = browser.cookie("madang_sign_in").value.removeprefix("mdg_").rpartition("_")[0]
    rows = {row["id"]: row for row in server.cli_json("key", "list")["data"]}
    assert rows[key]["label"] == "oidc:kma.lee" and rows[key]["expires_at"]
    # However often somebody signs in, the books have a few rows of it.
    for _ in range(5):
        sign_in(world, "kma.lee")
    labels = [row["label"] for row in server.cli_json("key", "list")["data"]]
    assert labels.count("oidc:kma.lee") == 4
    server.cli("audit", "verify")
    assert SECRET not in server.log(10**9)


@pytest.mark.parametrize("world", PROVIDERS[2:], ids=["certified-es256"], indirect=True)
def test_a_provider_whose_certificate_is_not_trusted_is_not_asked(world):
    provider, server = world
    file = server.folder / "fleet.toml"
    fleet = file.read_text()
    try:
        file.write_text(fleet.replace(provider.trust, ""))
        server.cli("reload")
        status, text, _ = Browser(server.url).ask("/auth/login")
        assert (status, code_of(text)) == (503, "sign_in_unavailable") and "tls" in text
    finally:
        file.write_text(fleet)
        server.cli("reload")
    assert sign_in(world, "kma.lee")[1] == 200
