"""Chat through the official Python SDK with only `base_url` and key changed, against the real model."""

import json

import openai
import pytest
from conftest import CHAT

KOREAN = [{"role": "user", "content": "대한민국의 수도는 어디인가요? 한 문장으로 답하세요."}]
ENGLISH = [{"role": "user", "content": "What is the capital of South Korea? Answer in one sentence."}]
ONE_WORD = [{"role": "user", "content": "Say hello."}]
QUESTIONS = pytest.mark.parametrize(("messages", "expected"), [(KOREAN, "서울"), (ENGLISH, "Seoul")], ids=["ko", "en"])

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather in a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}
ASK_WEATHER = [{"role": "user", "content": "What is the weather in Busan?"}]
CHOICES = pytest.mark.parametrize(
    "choice", ["required", {"type": "function", "function": {"name": "get_weather"}}, "auto"], ids=["required", "named", "auto"]
)


@QUESTIONS
def test_plain(client, messages, expected):
    answer = client.chat.completions.create(model=CHAT, messages=messages, temperature=0, max_tokens=24)
    assert expected in answer.choices[0].message.content
    assert answer.choices[0].finish_reason in ("stop", "length")
    assert answer.object == "chat.completion" and answer.model == CHAT
    assert answer.usage.prompt_tokens > 10 and 0 < answer.usage.completion_tokens <= 24
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


@QUESTIONS
def test_streamed(client, messages, expected):
    with client.chat.completions.create(
        model=CHAT, messages=messages, temperature=0, max_tokens=24, stream=True, stream_options={"include_usage": True}
    ) as stream:
        chunks = list(stream)
    pieces = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices and chunk.choices[0].delta.content]
    assert expected in "".join(pieces)
    assert len(pieces) > 3, "a stream comes in pieces"
    assert {chunk.object for chunk in chunks} == {"chat.completion.chunk"}
    assert {chunk.model for chunk in chunks} == {CHAT}
    usages = [chunk.usage for chunk in chunks if chunk.usage]
    assert len(usages) == 1 and not chunks[-1].choices and usages[0].completion_tokens > 3


def test_a_stream_has_no_usage_unasked(client):
    with client.chat.completions.create(model=CHAT, messages=ONE_WORD, max_tokens=2, stream=True) as stream:
        chunks = list(stream)
    assert all(chunk.choices for chunk in chunks), "a chunk without choices comes only to those who asked for usage"
    assert not any(chunk.usage for chunk in chunks)


async def ask_async(server):
    async with openai.AsyncOpenAI(base_url=server.base_url, api_key=server.tenant_key, max_retries=0, timeout=180) as client:
        return await client.chat.completions.create(model=CHAT, messages=ONE_WORD, max_tokens=2)


def test_the_async_client(server):
    import asyncio

    assert asyncio.run(ask_async(server)).choices[0].message.content


@CHOICES
def test_tools(client, choice):
    answer = client.chat.completions.create(
        model=CHAT, messages=ASK_WEATHER, tools=[WEATHER], tool_choice=choice, temperature=0, max_tokens=60
    )
    [call] = answer.choices[0].message.tool_calls
    assert (call.type, call.function.name) == ("function", "get_weather") and call.id
    assert "busan" in json.loads(call.function.arguments)["city"].lower()
    assert answer.choices[0].finish_reason == "tool_calls"


@CHOICES
def test_tools_streamed(client, choice):
    with client.chat.completions.create(
        model=CHAT, messages=ASK_WEATHER, tools=[WEATHER], tool_choice=choice, temperature=0, max_tokens=60, stream=True
    ) as stream:
        chunks = [chunk for chunk in stream if chunk.choices]
    deltas = [part for chunk in chunks for part in chunk.choices[0].delta.tool_calls or []]
    assert {part.index for part in deltas} == {0}
    assert "".join(part.function.name or "" for part in deltas) == "get_weather" and deltas[0].id
    arguments = "".join(part.function.arguments or "" for part in deltas)
    assert "busan" in json.loads(arguments)["city"].lower()
    assert chunks[-1].choices[0].finish_reason == "tool_calls"


def test_a_tool_result_reaches_the_model(client):
    call = {"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": '{"city": "Busan"}'}}
    messages = [
        *ASK_WEATHER,
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "sunny, 23 degrees"},
    ]
    # So small a model does not always use the result; that it arrives is what is tested.
    short = client.chat.completions.create(model=CHAT, messages=ASK_WEATHER, temperature=0, max_tokens=1)
    answer = client.chat.completions.create(model=CHAT, messages=messages, temperature=0, max_tokens=8)
    assert answer.choices[0].message.content
    assert answer.usage.prompt_tokens > short.usage.prompt_tokens + 10


def test_json_schema(client):
    schema = {
        "type": "object",
        "properties": {"city": {"type": "string", "enum": ["Seoul", "Busan"]}, "port": {"type": "boolean"}},
        "required": ["city", "port"],
        "additionalProperties": False,
    }
    answer = client.chat.completions.create(
        model=CHAT, messages=ENGLISH, temperature=0, max_tokens=40,
        response_format={"type": "json_schema", "json_schema": {"name": "place", "strict": True, "schema": schema}},
    )
    place = json.loads(answer.choices[0].message.content)
    assert place["city"] in ("Seoul", "Busan") and isinstance(place["port"], bool)


def test_logprobs(client):
    answer = client.chat.completions.create(
        model=CHAT, messages=ONE_WORD, temperature=0, max_tokens=2, logprobs=True, top_logprobs=2
    )
    tokens = answer.choices[0].logprobs.content
    assert 0 < len(tokens) <= 2
    assert all(token.logprob <= 0 and len(token.top_logprobs) == 2 for token in tokens)


def test_two_choices(client):
    answer = client.chat.completions.create(model=CHAT, messages=ONE_WORD, max_tokens=3, n=2)
    assert [choice.index for choice in answer.choices] == [0, 1]
    assert all(choice.message.content for choice in answer.choices)


def test_stop(client):
    messages = [{"role": "user", "content": "Count from 1 to 9, digits separated by spaces."}]
    answer = client.chat.completions.create(model=CHAT, messages=messages, temperature=0, max_tokens=30, stop=["4"])
    text = answer.choices[0].message.content
    assert "3" in text and "4" not in text
    assert answer.choices[0].finish_reason == "stop"


def test_a_seed_repeats_the_answer(client):
    ask = {"model": CHAT, "messages": ONE_WORD, "temperature": 1.5, "seed": 7, "max_tokens": 6}
    first, second = (client.chat.completions.create(**ask).choices[0].message.content for _ in range(2))
    assert first == second


def test_large_numbers_and_unknown_fields_go_through(client):
    answer = client.chat.completions.create(
        model=CHAT, messages=ONE_WORD, max_tokens=1, seed=2**31 - 1,
        extra_body={"a_field_of_tomorrow": {"order": [2**63 - 1, 1e-7], "이름": "마당"}},
    )
    assert answer.choices[0].message.content


def test_clients_that_leave_free_the_engine(client):
    """Whoever leaves while its prompt is read must not hold up the others: the engine looks between batches of the prompt."""
    impatient = client.with_options(timeout=0.5)
    for number in range(2):
        long = [{"role": "user", "content": f"number {number} " * 750}]
        with pytest.raises(openai.APITimeoutError):
            impatient.chat.completions.create(model=CHAT, messages=long, max_tokens=200)
    # Two prompts of thousands of tokens would take the machine a minute.
    patient = client.with_options(timeout=15)
    assert patient.chat.completions.create(model=CHAT, messages=ONE_WORD, max_tokens=1).choices


def test_a_stream_may_be_left(client):
    with client.chat.completions.create(model=CHAT, messages=ENGLISH, max_tokens=400, stream=True) as stream:
        next(iter(stream))
    assert client.chat.completions.create(model=CHAT, messages=ONE_WORD, max_tokens=1).choices
