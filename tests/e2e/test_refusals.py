"""What the SDK raises: the right class, a stable code, the field at fault, and never a 500 for a caller's mistake."""

import json
import urllib.error
import urllib.request

import openai
import pytest
from conftest import CHAT, EMBED
from test_chat import ONE_WORD, WEATHER

# A PNG of one pixel.
PIXEL = (
    "data:image/png;base64,"
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
)


def chat(client, **fields):
    return client.chat.completions.create(**({"model": CHAT, "messages": ONE_WORD, "max_tokens": 1} | fields))


@pytest.mark.parametrize("key", ["mdg_nosuchkey_" + "x" * 40, "sk-something-else", "mdg_"])
def test_a_wrong_key(client, key):
    with pytest.raises(openai.AuthenticationError) as raised:
        client.with_options(api_key=key).models.list()
    assert raised.value.code == "key_invalid"
    assert key not in raised.value.message


@pytest.mark.parametrize("path", ["/v1/models", f"/v1/models/{CHAT}", "/v1/chat/completions", "/v1/nothing", "/metrics", "/api/v1/usage"])
def test_every_door_is_closed_without_a_key(server, path):
    with pytest.raises(urllib.error.HTTPError) as raised:
        urllib.request.urlopen(server.url + path, timeout=30)
    with raised.value as answer:
        assert answer.code == 401
        assert json.load(answer)["error"]["code"] == "key_missing"


@pytest.mark.parametrize("name", ["qwen2.5-coder-0.5b-instrukt", "gpt-5", "없는-모델", "a/../b"])
def test_an_unknown_model(client, name):
    with pytest.raises(openai.NotFoundError) as raised:
        chat(client, model=name)
    assert (raised.value.code, raised.value.param) == ("model_not_found", "model")
    assert CHAT in raised.value.message


def test_the_wrong_door_for_a_model(client):
    with pytest.raises(openai.BadRequestError) as raised:
        chat(client, model=EMBED)
    assert raised.value.code == "model_endpoint_unsupported"
    with pytest.raises(openai.BadRequestError) as raised:
        client.embeddings.create(model=CHAT, input="마당")
    assert raised.value.code == "model_endpoint_unsupported"


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"messages": "hello"}, "messages"),
        ({"model": 7}, "model"),
        ({"max_tokens": "many"}, "max_tokens"),
        ({"stream": "yes"}, "stream"),
        ({"n": 0}, "n"),
        ({"extra_body": {"model": None}}, "model"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_wrong_type_names_the_field(client, fields, param):
    with pytest.raises(openai.BadRequestError) as raised:
        chat(client, **fields)
    assert raised.value.param == param
    assert raised.value.code in ("field_invalid", "field_missing")


@pytest.mark.parametrize(
    "fields",
    [
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": PIXEL}}]}]},
        {"messages": [{"role": "user", "content": "word " * 12_000}]},
        {"tools": [WEATHER], "tool_choice": {"type": "function", "function": {"name": "no_such_tool"}}},
        {"temperature": "warm"},
        {"messages": []},
    ],
    ids=["image", "context", "unknown-tool", "temperature", "no-messages"],
)
@pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])
def test_what_the_engine_cannot_do_is_the_callers_error(client, fields, stream):
    with pytest.raises(openai.APIStatusError) as raised:
        answer = chat(client, stream=stream, **fields)
        if stream:
            list(answer)
    assert 400 <= raised.value.status_code < 500, raised.value
    assert raised.value.message and raised.value.code


def test_a_timeout_of_the_client(client):
    with pytest.raises(openai.APITimeoutError):
        chat(client.with_options(timeout=0.2), messages=[{"role": "user", "content": "Count to a thousand."}], max_tokens=200)
    assert chat(client).choices, "and the next request is served"


def test_headers_say_where_the_answer_came_from(client):
    raw = client.chat.completions.with_raw_response.create(model=CHAT, messages=ONE_WORD, max_tokens=1)
    headers = raw.headers
    assert headers["x-madang-request-id"].startswith("req_")
    assert headers["x-madang-site"] == "laptop" and headers["x-madang-replica"] == "laptop-chat"
    assert headers["x-madang-jurisdiction"] == "KR" and headers["x-madang-model"] == CHAT
    assert headers["x-madang-decision"]


def test_refusals_carry_an_id_too(client):
    with pytest.raises(openai.NotFoundError) as raised:
        chat(client, model="gpt-5")
    assert raised.value.response.headers["x-madang-request-id"].startswith("req_")


def test_a_key_is_for_what_it_was_made_for(client, server):
    made = server.cli_json("key", "create", "--tenant", "demo", "--models", CHAT, "--endpoints", "chat", "--requests-per-min", "2")
    bounded = client.with_options(api_key=made["key"])
    assert [model.id for model in bounded.models.list()] == [CHAT]
    with pytest.raises(openai.PermissionDeniedError) as raised:
        bounded.embeddings.create(model=EMBED, input="마당")
    assert raised.value.code == "endpoint_not_permitted"
    with pytest.raises(openai.PermissionDeniedError) as raised:
        chat(bounded, model=EMBED)
    assert (raised.value.code, raised.value.param) == ("model_not_permitted", "model")
    fields = {"model": CHAT, "messages": ONE_WORD, "max_tokens": 1}
    for left in ["1", "0"]:
        answer = bounded.chat.completions.with_raw_response.create(**fields)
        assert answer.headers["x-ratelimit-remaining-requests"] == left
    with pytest.raises(openai.RateLimitError) as raised:
        chat(bounded)
    assert raised.value.code == "rate_limited"
    headers = raised.value.response.headers
    assert 0 < int(headers["retry-after"]) <= 30
    assert headers["x-ratelimit-limit-requests"] == "2"
    assert chat(client).choices, "another key goes on"
