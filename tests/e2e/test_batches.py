"""Files and batches through the official Python SDK."""

import json
import time

import openai
import pytest
from conftest import CHAT

ENDPOINT = "/v1/chat/completions"


def line(custom_id, model=CHAT):
    body = {"model": model, "messages": [{"role": "user", "content": "Say yes."}], "max_tokens": 4, "temperature": 0}
    return json.dumps({"custom_id": custom_id, "method": "POST", "url": ENDPOINT, "body": body})


def upload(client, *lines):
    return client.files.create(file=("lines.jsonl", "\n".join(lines).encode()), purpose="batch")


def over(client, batch):
    until = time.monotonic() + 120
    while batch.status in ("validating", "in_progress", "finalizing", "cancelling"):
        assert time.monotonic() < until, batch
        time.sleep(0.2)
        batch = client.batches.retrieve(batch.id)
    return batch


def results(client, file):
    lines = [json.loads(text) for text in client.files.content(file).text.splitlines()]
    found = {line["custom_id"]: line for line in lines}
    assert len(found) == len(lines)
    return found


def test_a_batch_is_answered(client):
    file = upload(client, *(line(f"l{n}") for n in range(5)), line("nobody", model="gone"))
    assert (file.object, file.purpose, file.status, file.filename) == ("file", "batch", "processed", "lines.jsonl")
    batch = client.batches.create(
        input_file_id=file.id, endpoint=ENDPOINT, completion_window="24h", metadata={"night": "one"}
    )
    assert batch.id in {found.id for found in client.batches.list(limit=5)}
    batch = over(client, batch)
    assert (batch.status, batch.metadata) == ("completed", {"night": "one"})
    counts = batch.request_counts
    assert (counts.total, counts.completed, counts.failed) == (6, 5, 1)
    answers = results(client, batch.output_file_id)
    assert set(answers) == {f"l{n}" for n in range(5)}
    for answer in answers.values():
        assert answer["response"]["status_code"] == 200 and answer["error"] is None
        assert answer["response"]["body"]["choices"][0]["message"]["content"]
    refused = results(client, batch.error_file_id)["nobody"]["response"]
    assert (refused["status_code"], refused["body"]["error"]["code"]) == (404, "model_not_found")


def test_an_input_that_is_not_sound_fails(client):
    file = upload(client, line("one"), line("one"), "nothing")
    batch = over(client, client.batches.create(input_file_id=file.id, endpoint=ENDPOINT, completion_window="24h"))
    assert batch.status == "failed"
    assert [(error.line, error.code) for error in batch.errors.data] == [(2, "duplicate_custom_id"), (3, "invalid_json_line")]


def test_a_batch_is_cancelled(client):
    file = upload(client, *(line(f"l{n}") for n in range(200)))
    batch = client.batches.create(input_file_id=file.id, endpoint=ENDPOINT, completion_window="24h")
    assert client.batches.cancel(batch.id).status in ("cancelling", "cancelled")
    assert over(client, batch).status == "cancelled"


def test_a_refused_upload_leaves_the_client_whole(client):
    # The form is refused before its last bytes are read; the next request of the same client is answered all the same.
    for _ in range(3):
        with pytest.raises(openai.BadRequestError) as refused:
            client.files.create(file=("a.jsonl", b"x" * 3_000_000), purpose="assistants")
        assert refused.value.param == "purpose"
        client.files.list(limit=1)


def test_files_are_listed_and_deleted(client):
    files = [
        client.files.create(
            file=("a.jsonl", b"{}\n"), purpose="batch", expires_after={"anchor": "created_at", "seconds": 3600}
        )
        for _ in range(3)
    ]
    assert files[0].expires_at == files[0].created_at + 3600
    listed = [file.id for file in client.files.list(purpose="batch", limit=2)]
    assert listed[:3] == [file.id for file in reversed(files)]
    for file in files:
        assert client.files.content(file.id).read() == b"{}\n"
        assert client.files.delete(file.id).deleted
        with pytest.raises(openai.NotFoundError):
            client.files.retrieve(file.id)
