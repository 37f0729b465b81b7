"""Models, completions, embeddings and responses through the official Python SDK."""

import base64
import json
import math
import struct

import openai
import pytest
from conftest import CHAT, EMBED
from test_chat import ASK_WEATHER, ENGLISH, KOREAN, WEATHER


def test_models(client):
    assert {model.id for model in client.models.list()} == {CHAT, EMBED}
    model = client.models.retrieve(CHAT)
    assert (model.id, model.object) == (CHAT, "model") and isinstance(model.created, int)


def test_an_unknown_model_is_not_found(client):
    with pytest.raises(openai.NotFoundError) as raised:
        client.models.retrieve("qwen2.5-coder-0.5b")
    assert raised.value.code == "model_not_found"
    assert CHAT in raised.value.message, "the nearest name is told"


def test_completions(client):
    answer = client.completions.create(model=CHAT, prompt="The capital of South Korea is", temperature=0, max_tokens=4)
    assert "Seoul" in answer.choices[0].text
    assert answer.object == "text_completion" and answer.usage.completion_tokens <= 4


def test_completions_streamed(client):
    with client.completions.create(
        model=CHAT, prompt="The capital of South Korea is", temperature=0, max_tokens=4, stream=True
    ) as stream:
        text = "".join(chunk.choices[0].text for chunk in stream if chunk.choices)
    assert "Seoul" in text


def cosine(a, b):
    return sum(x * y for x, y in zip(a, b, strict=True)) / math.hypot(*a) / math.hypot(*b)


def test_embeddings_know_both_languages(client):
    texts = ["오늘 서울의 날씨는 맑습니다.", "Today the weather in Seoul is sunny.", "The bank raised its interest rate."]
    answer = client.embeddings.create(model=EMBED, input=texts, encoding_format="float")
    korean, english, unrelated = (row.embedding for row in answer.data)
    assert [row.index for row in answer.data] == [0, 1, 2] and len(korean) == 384
    assert cosine(korean, english) > cosine(korean, unrelated) + 0.02
    assert answer.usage.prompt_tokens > 0 and answer.model == EMBED


def test_embeddings_as_base64_are_the_same_numbers(client):
    text = "마당은 여러 집이 함께 쓰는 뜰입니다."
    floats = client.embeddings.create(model=EMBED, input=text, encoding_format="float").data[0].embedding
    # The SDK asks for base64 by itself and decodes it.
    default = client.embeddings.create(model=EMBED, input=text).data[0].embedding
    raw = client.embeddings.create(model=EMBED, input=text, encoding_format="base64").data[0].embedding
    numbers = struct.unpack("<384f", base64.b64decode(raw)) if isinstance(raw, str) else raw
    assert default == pytest.approx(floats, abs=1e-5) and list(numbers) == pytest.approx(floats, abs=1e-5)


def test_responses(client):
    answer = client.responses.create(model=CHAT, input=KOREAN[0]["content"], temperature=0, max_output_tokens=24)
    assert "서울" in answer.output_text
    assert answer.status in ("completed", "incomplete") and answer.usage.output_tokens > 3


def test_responses_streamed(client):
    with client.responses.create(
        model=CHAT, input=ENGLISH, instructions="You are brief.", temperature=0, max_output_tokens=24, stream=True
    ) as stream:
        events = list(stream)
    kinds = [event.type for event in events]
    assert kinds[0] == "response.created" and kinds[-1] in ("response.completed", "response.incomplete")
    text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert "Seoul" in text and events[-1].response.output_text == text
    numbers = [event.sequence_number for event in events]
    assert numbers == sorted(set(numbers))


def test_responses_streamed_through_the_helper(client):
    with client.responses.stream(model=CHAT, input="Say hello.", temperature=0, max_output_tokens=40) as stream:
        for _ in stream:
            pass
        assert stream.get_final_response().output_text


@pytest.mark.parametrize("streamed", [False, True], ids=["plain", "streamed"])
def test_responses_call_tools(client, streamed):
    tool = {"type": "function", **WEATHER["function"], "strict": True}
    answer = client.responses.create(
        model=CHAT, input=ASK_WEATHER, tools=[tool], tool_choice="required", temperature=0, max_output_tokens=60, stream=streamed
    )
    if streamed:
        answer = list(answer)[-1].response
    [call] = [item for item in answer.output if item.type == "function_call"]
    assert call.name == "get_weather" and call.call_id
    assert "busan" in json.loads(call.arguments)["city"].lower()
