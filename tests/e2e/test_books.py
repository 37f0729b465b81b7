"""The books agree with what the SDK was told: by command, by request id, in the metrics, and for each tenant apart."""

import csv
import io
import re
import urllib.error
import urllib.request

import openai
import pytest
from conftest import CHAT, EMBED

HELLO = [{"role": "user", "content": "Say hello."}]
GROUPS = {"chat": CHAT, "embeddings": EMBED}


def usage(server, *arguments):
    """Rows of `madang usage` by group: requests, finished, prompt tokens, output tokens."""
    rows = server.cli_json("usage", *arguments)["data"]
    return {
        row["group"]: (row["requests"], row["finished"], row["uncached_tokens"] + row["cached_tokens"], row["output_tokens"])
        for row in rows
    }


def metrics(server):
    request = urllib.request.Request(server.url + "/metrics", headers={"authorization": f"Bearer {server.operator_key}"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        text = answer.read().decode()
    assert text.endswith("# EOF\n")
    return text


def metric(text, name, **labels):
    """The sum of a metric's series that have these labels."""
    total = 0.0
    for line in text.splitlines():
        found = re.fullmatch(rf"{name}(?:\{{(.*)\}})? (\S+)", line)
        if found:
            have = dict(re.findall(r'(\w+)="([^"]*)"', found.group(1) or ""))
            total += float(found.group(2)) if labels.items() <= have.items() else 0
    return total


def totals(server):
    text = metrics(server)
    return {
        model: (
            metric(text, "madang_requests_total", model=model),
            metric(text, "madang_requests_total", model=model, outcome="finished"),
            metric(text, "madang_prompt_tokens_total", model=model),
            metric(text, "madang_generation_tokens_total", model=model),
        )
        for model in GROUPS.values()
    }


def less(after, before, group):
    return tuple(int(new - old) for new, old in zip(after[group], before.get(group, (0, 0, 0, 0)), strict=True))


def ask(client):
    """Requests of each kind; ids, and what the SDK was told for each model: requests, finished, prompt, output."""
    ids = []
    plain = client.chat.completions.with_raw_response.create(model=CHAT, messages=HELLO, temperature=0, max_tokens=5)
    ids.append(plain.headers["x-madang-request-id"])
    streamed = client.chat.completions.with_raw_response.create(
        model=CHAT, messages=HELLO, temperature=0, max_tokens=5, stream=True, stream_options={"include_usage": True}
    )
    ids.append(streamed.headers["x-madang-request-id"])
    told = [plain.parse().usage, *(chunk.usage for chunk in streamed.parse() if chunk.usage)]
    response = client.responses.create(model=CHAT, input="Say hello.", temperature=0, max_output_tokens=5).usage
    with pytest.raises(openai.BadRequestError):
        client.chat.completions.create(model=CHAT, messages="hello")
    vectors = client.embeddings.create(model=EMBED, input=["마당", "courtyard"]).usage
    prompt = sum(row.prompt_tokens for row in told) + response.input_tokens
    output = sum(row.completion_tokens for row in told) + response.output_tokens
    return ids, {CHAT: (4, 3, prompt, output), EMBED: (1, 1, vectors.prompt_tokens, 0)}


def test_usage_and_metrics_are_what_the_sdk_was_told(server, client):
    books_before, metrics_before = usage(server, "--by", "model"), totals(server)
    ids, told = ask(client)
    books_after, metrics_after = usage(server, "--by", "model"), totals(server)
    for model, expected in told.items():
        assert less(books_after, books_before, model) == expected, f"books, {model}"
        assert less(metrics_after, metrics_before, model) == expected, f"metrics, {model}"
    for request_id in ids:
        record = server.cli_json("request", request_id)
        assert (record["id"], record["tenant"], record["model"]) == (request_id, "demo", CHAT)
        assert (record["outcome"], record["status"], record["replica"]) == ("finished", 200, "laptop-chat")
        assert record["tokens"]["output"] == 5 and not record["tokens"]["estimated"]
        assert 0 < record["first_token_us"] <= record["total_us"]


def test_csv_has_the_same_rows(server):
    rows = list(csv.DictReader(io.StringIO(server.cli("usage", "--by", "model", "--csv"))))
    assert {row["group"]: int(row["requests"]) for row in rows} == {group: row[0] for group, row in usage(server, "--by", "model").items()}


def test_metrics_are_the_operators(server):
    request = urllib.request.Request(server.url + "/metrics", headers={"authorization": f"Bearer {server.tenant_key}"})
    with pytest.raises(urllib.error.HTTPError) as raised:
        urllib.request.urlopen(request, timeout=30)
    with raised.value:
        assert raised.value.code == 403


def test_a_tenant_made_by_command_is_served_apart_and_refused_at_once(server, client):
    server.cli_json("tenant", "create", "hanbit")
    made = server.cli_json("key", "create", "--tenant", "hanbit", "--label", "test")
    key = made["key"]
    other = client.with_options(api_key=key)
    answer = other.chat.completions.with_raw_response.create(model=CHAT, messages=HELLO, max_tokens=1)
    request_id = answer.headers["x-madang-request-id"]
    assert usage(server, "--by", "tenant")["hanbit"][0] == 1
    assert server.cli_json("request", request_id)["tenant"] == "hanbit"

    # The record is its tenant's: for another it does not exist.
    with pytest.raises(openai.NotFoundError):
        client.get(f"{server.url}/api/v1/requests/{request_id}", cast_to=object)
    assert key not in server.cli("key", "list") + server.cli("key", "list", "--json")
    server.cli("key", "revoke", key.split("_")[1])
    with pytest.raises(openai.AuthenticationError) as raised:
        other.models.list()
    assert raised.value.code == "key_revoked"


def test_unknown_ids_are_an_error_with_a_message(server):
    assert server.cli("request", "req_01a200721102709da66d005c70c37c40", code=1) == ""
    assert server.cli("logs", "no-such-replica", code=1) == ""


def test_status_and_logs(server):
    assert "laptop-chat" in server.cli("status")
    assert server.cli_json("status")["pools"]
    assert server.cli("logs", "laptop-chat", "-n", "5").strip()
