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
        for _ in range(SLOTS):
            stack.enter_context(stream(client, max_tokens=4000, extra_body={"ignore_eos": True}))
        # Its head comes though every slot is taken; where it will be served is not known yet.
        waiting = stream(client, max_tokens=4)
        headers = waiting.response.headers
        assert headers["x-madang-queue-place"] == "0" and "x-madang-replica" not in headers
    with waiting:
        pieces = [chunk.choices[0].delta.content for chunk in waiting if chunk.choices]
    assert "".join(piece or "" for piece in pieces)
