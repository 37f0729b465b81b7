"""Anthropic's dialect, both ways, through the official SDKs of both vendors: at an upstream that speaks it, at an engine that
speaks OpenAI's, and at the real model."""

import contextlib
import json
import os
import subprocess

import anthropic
import openai
import pytest
from conftest import CHAT
from madang import REPO, Server, binary, environment
from test_chat import ASK_WEATHER, QUESTIONS, WEATHER

UPSTREAM_KEY = "sk-ant-upstream-canary"
# What a fake engine says, by tokens.
SAID = "서울은 대한민국의"
QUESTION = [{"role": "user", "content": "안녕"}]
TOOL = {"name": "get_weather", "description": "The weather in a city.", "input_schema": WEATHER["function"]["parameters"]}
FLEET = """
[[site]]
id = "home"
country = "KR"
[[model]]
id = "near"
context_tokens = 4096
[[replica]]
id = "near-1"
site = "home"
model = "near"
url = "{near}"
engine = "vllm"
slots = 8
[[upstream]]
id = "far"
dialect = "anthropic"
url = "{far}"
country = "US"
operator_country = "US"
key_file = "far.key"
models = [{{ id = "far", upstream_model = "claude" }}]
"""
BOTH = pytest.mark.parametrize("model", ["far", "near"])


@contextlib.contextmanager
def fake_engine(*arguments):
    program = os.environ.get("FAKE_ENGINE", binary().parent / "fake-engine")
    with subprocess.Popen([program, *arguments], stdout=subprocess.PIPE, text=True, env=environment()) as process:
        try:
            yield process.stdout.readline().strip()
        finally:
            process.kill()


@pytest.fixture(scope="module")
def two_tracks(tmp_path_factory):
    folder = tmp_path_factory.mktemp("anthropic")
    (folder / "far.key").write_text(UPSTREAM_KEY)
    with (
        fake_engine("--engine", "anthropic", "--model", "claude", "--key", UPSTREAM_KEY) as far,
        fake_engine("--engine", "vllm", "--model", "near") as near,
    ):
        (folder / "fleet.toml").write_text(FLEET.format(far=far, near=near))
        server = Server(folder, arguments=["--fleet", folder / "fleet.toml"])
        try:
            server.wait_ready()
            yield server
            server.stop()
        finally:
            server.kill()
    assert UPSTREAM_KEY not in server.err.read_text()


def client_of(server):
    return anthropic.Anthropic(base_url=server.url, api_key=server.tenant_key, max_retries=0, timeout=180)


@pytest.fixture(scope="module")
def claude(two_tracks):
    with client_of(two_tracks) as client:
        yield client


@pytest.fixture(scope="module")
def chat(two_tracks):
    with openai.OpenAI(base_url=two_tracks.base_url, api_key=two_tracks.tenant_key, max_retries=0, timeout=60) as client:
        yield client


@BOTH
def test_a_message(claude, model):
    message = claude.messages.create(model=model, max_tokens=3, system="Be brief.", messages=QUESTION)
    assert [block.text for block in message.content] == [SAID]
    assert (message.type, message.role, message.stop_reason) == ("message", "assistant", "max_tokens")
    assert message.usage.output_tokens == 3 and message.usage.cache_read_input_tokens == 2
    assert message._request_id.startswith("req_")


@BOTH
def test_a_streamed_message(claude, model):
    with claude.messages.stream(model=model, max_tokens=3, messages=QUESTION) as stream:
        pieces = list(stream.text_stream)
        message = stream.get_final_message()
    assert "".join(pieces) == SAID and len(pieces) == 3
    assert message.stop_reason == "max_tokens" and message.usage.output_tokens == 3
    assert message.usage.cache_read_input_tokens == 2


@BOTH
def test_a_tool_is_used(claude, model):
    ask = {"model": model, "max_tokens": 50, "messages": QUESTION, "tools": [TOOL], "tool_choice": {"type": "any"}}
    message = claude.messages.create(**ask)
    assert message.stop_reason == "tool_use"
    [block] = message.content
    assert (block.type, block.name, block.input) == ("tool_use", "get_weather", {"city": "서울"})
    with claude.messages.stream(**ask) as stream:
        assert stream.get_final_message().content[0].input == {"city": "서울"}
    result = {"type": "tool_result", "tool_use_id": block.id, "content": "15 degrees"}
    turns = [*QUESTION, {"role": "assistant", "content": message.content}, {"role": "user", "content": [result]}]
    assert claude.messages.create(model=model, max_tokens=3, messages=turns, tools=[TOOL]).content[0].text == SAID


@BOTH
def test_tokens_are_counted(claude, model):
    assert claude.messages.count_tokens(model=model, messages=QUESTION).input_tokens > 1


def test_errors_have_the_sdks_classes(claude):
    with pytest.raises(anthropic.NotFoundError) as raised:
        claude.messages.create(model="no-such", max_tokens=1, messages=QUESTION)
    assert raised.value.body["error"]["code"] == "model_not_found" and raised.value.body["error"]["remedy"]
    with pytest.raises(anthropic.AuthenticationError):
        claude.with_options(api_key="mdg_no_such").messages.create(model="near", max_tokens=1, messages=QUESTION)
    with pytest.raises(anthropic.BadRequestError) as raised:
        claude.messages.create(model="near", max_tokens=1, messages=QUESTION, extra_body={"container": "c"})
    assert raised.value.body["error"]["param"] == "container"
    with pytest.raises(anthropic.BadRequestError):
        claude.messages.create(model="far", max_tokens=1, messages=[{"role": "robot", "content": "x"}])
    broken = {"metadata": {"user_id": "fake-behaviour=cut:3"}}
    with pytest.raises(anthropic.APIError) as raised:
        list(claude.messages.create(model="near", max_tokens=3, messages=QUESTION, stream=True, **broken))
    assert raised.value.body["error"]["code"] == "engine_cut"


@BOTH
def test_chat_of_the_other_sdk(chat, model):
    answer = chat.chat.completions.create(model=model, messages=QUESTION, max_tokens=3)
    assert answer.choices[0].message.content == SAID and answer.choices[0].finish_reason == "length"
    assert answer.usage.completion_tokens == 3 and answer.usage.prompt_tokens_details.cached_tokens == 2
    with chat.chat.completions.create(
        model=model, messages=QUESTION, max_tokens=3, stream=True, stream_options={"include_usage": True}
    ) as stream:
        chunks = list(stream)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == SAID
    assert [chunk.usage.completion_tokens for chunk in chunks if chunk.usage] == [3]


@BOTH
def test_a_tool_call_of_the_other_sdk(chat, model):
    ask = {"model": model, "messages": ASK_WEATHER, "tools": [WEATHER], "tool_choice": "required"}
    [call] = chat.chat.completions.create(**ask).choices[0].message.tool_calls
    assert (call.function.name, json.loads(call.function.arguments)) == ("get_weather", {"city": "서울"})
    with chat.chat.completions.stream(**ask) as stream:
        [streamed] = stream.get_final_completion().choices[0].message.tool_calls
    assert json.loads(streamed.function.arguments) == {"city": "서울"}
    turns = [
        *ASK_WEATHER,
        {"role": "assistant", "tool_calls": [call.model_dump()]},
        {"role": "tool", "tool_call_id": call.id, "content": "15 degrees"},
    ]
    assert chat.chat.completions.create(model=model, messages=turns, max_tokens=3).choices[0].message.content == SAID


def test_responses_of_the_other_sdk(chat):
    assert chat.responses.create(model="far", input="안녕", max_output_tokens=3).output_text == SAID
    with chat.responses.create(model="far", input="안녕", max_output_tokens=3, stream=True) as stream:
        events = list(stream)
    assert "".join(event.delta for event in events if event.type == "response.output_text.delta") == SAID
    assert events[-1].type == "response.incomplete" and events[-1].response.usage.output_tokens == 3


def test_errors_of_an_upstream_for_the_other_sdk(chat):
    with pytest.raises(openai.BadRequestError) as raised:
        chat.chat.completions.create(model="far", messages=QUESTION, seed=7)
    assert (raised.value.code, raised.value.param) == ("feature_unsupported", "seed")
    with pytest.raises(openai.APIError):
        list(chat.chat.completions.create(model="far", messages=QUESTION, max_tokens=3, stream=True, user="fake-behaviour=cut:3"))


def test_the_javascript_sdks(two_tracks):
    done = subprocess.run(
        ["node", "--test", "--test-reporter=spec", "anthropic.test.mjs"], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300,
        cwd=REPO / "tests" / "js", env=environment(URL=two_tracks.url, TENANT_KEY=two_tracks.tenant_key),
    )
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr


@QUESTIONS
def test_the_real_model(server, messages, expected):
    with client_of(server) as client:
        # This version of the API has no temperature, but the engine has.
        ask = {"model": CHAT, "max_tokens": 24, "messages": messages, "extra_body": {"temperature": 0}}
        assert expected in client.messages.create(**ask).content[0].text
        with client.messages.stream(**ask) as stream:
            assert expected in stream.get_final_text()


def test_the_real_model_uses_a_tool(server):
    with client_of(server) as client:
        ask = {"model": CHAT, "max_tokens": 60, "messages": ASK_WEATHER, "tools": [TOOL], "extra_body": {"temperature": 0}}
        message = client.messages.create(**ask, tool_choice={"type": "tool", "name": "get_weather"})
        [block] = message.content
        assert message.stop_reason == "tool_use" and "busan" in block.input["city"].lower()
        with client.messages.stream(**ask, tool_choice={"type": "any"}) as stream:
            [block] = stream.get_final_message().content
        assert "busan" in block.input["city"].lower()
