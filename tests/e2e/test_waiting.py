"""A stream that waits for a busy model: the official SDK gets its head, passes over the comments, and then the answer."""

from contextlib import ExitStack

from conftest import CHAT

# As many answers at once as the default model gives, and one more.
SLOTS = 4
COUNT = [{"role": "user", "content": "Count from one to one thousand."}]


def stream(client, **more):
    return client.chat.completions.create(model=CHAT, messages=COUNT, stream=True, **more)


def test_a_waiting_stream_begins_before_its_answer(client):
    with ExitStack() as stack:
        long = [stream(client, max_tokens=4000, extra_body={"ignore_eos": True}) for _ in range(SLOTS)]
        for answer in long:
            stack.enter_context(answer)
        # An engine that is slow is given fewer at once: some of the long ones may wait as well.
        served = sum("x-madang-replica" in answer.response.headers for answer in long)
        # Its head comes though every slot is taken; where it will be served is not known yet.
        waiting = stream(client, max_tokens=4)
        headers = waiting.response.headers
        assert served and "x-madang-replica" not in headers
        assert 0 <= int(headers["x-madang-queue-place"]) <= SLOTS - served
    with waiting:
        pieces = [chunk.choices[0].delta.content for chunk in waiting if chunk.choices]
    assert "".join(piece or "" for piece in pieces)
