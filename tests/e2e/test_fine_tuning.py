"""Fine-tuning through the official Python SDK: the template that `make up` serves truly trains."""

import csv
import json
import time

import openai
import pytest


def examples(client, *lines):
    return client.files.create(file=("examples.jsonl", "\n".join(lines).encode()), purpose="fine-tune")


def line(answer):
    return json.dumps({"messages": [{"role": "user", "content": "마당?"}, {"role": "assistant", "content": answer}]})


SENTENCES = [line(f"마당은 여러 집이 함께 쓰는 뜰입니다. {n}") for n in range(24)]


def over(client, job):
    until = time.monotonic() + 120
    while job.status in ("validating_files", "queued", "running"):
        assert time.monotonic() < until, job
        time.sleep(0.2)
        job = client.fine_tuning.jobs.retrieve(job.id)
    return job


def test_a_model_is_tuned(client):
    training, validation = examples(client, *SENTENCES[:20]), examples(client, *SENTENCES[20:])
    method = {"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 4, "batch_size": 5}}}
    job = client.fine_tuning.jobs.create(
        model="letters", training_file=training.id, validation_file=validation.id, method=method, suffix="yard", seed=7,
        metadata={"night": "one"},
    )
    assert (job.object, job.seed, job.metadata, job.fine_tuned_model) == ("fine_tuning.job", 7, {"night": "one"}, None)
    assert job.id == next(iter(client.fine_tuning.jobs.list(limit=1))).id
    job = over(client, job)
    assert (job.status, job.hyperparameters.n_epochs, job.hyperparameters.batch_size) == ("succeeded", 4, 5), job
    assert job.fine_tuned_model.startswith("ft:letters:demo:yard:")
    assert job.trained_tokens > 400 and job.finished_at >= job.created_at

    # All pages, newest first.
    events = list(client.fine_tuning.jobs.list_events(job.id, limit=7))[::-1]
    losses = [event.data["train_loss"] for event in events if event.type == "metrics"]
    assert len(losses) == 16 and losses[-1] < losses[0] / 3, losses
    assert events[0].message.startswith("Created") and events[-1].message == "The job has successfully completed"
    checkpoints = list(client.fine_tuning.jobs.checkpoints.list(job.id))
    assert [checkpoint.step_number for checkpoint in checkpoints] == [16, 12, 8, 4]
    assert checkpoints[0].fine_tuned_model_checkpoint == f"{job.fine_tuned_model}:ckpt-step-16"

    files = {client.files.retrieve(file).filename: file for file in job.result_files}
    assert client.files.retrieve(files["model.json"]).purpose == "fine-tune-results"
    rows = list(csv.DictReader(client.files.content(files["metrics.csv"]).text.splitlines()))
    assert [float(row["train_loss"]) for row in rows] == losses
    model = json.loads(client.files.content(files["model.json"]).content)
    after = model["weights"][model["letters"].index("마")]
    assert model["letters"][after.index(max(after))] == "당"


def test_a_file_with_a_bad_line_is_refused(client):
    file = examples(client, SENTENCES[0], '{"prompt": "a"}')
    with pytest.raises(openai.BadRequestError) as refused:
        client.fine_tuning.jobs.create(model="letters", training_file=file.id)
    assert (refused.value.code, refused.value.param) == ("training_file_invalid", "training_file")
    assert "line 2" in refused.value.message


def test_a_job_is_cancelled(client, server):
    file = examples(client, *(line("마당 " * 200) for _ in range(400)))
    job = client.fine_tuning.jobs.create(model="letters", training_file=file.id, hyperparameters={"n_epochs": 50})
    assert client.fine_tuning.jobs.cancel(job.id).status == "cancelled"
    assert over(client, job).status == "cancelled"
    with pytest.raises(openai.ConflictError):
        client.fine_tuning.jobs.pause(job.id)


def test_others_see_nothing_of_it(client, server):
    job = client.fine_tuning.jobs.create(model="letters", training_file=examples(client, SENTENCES[0]).id)
    server.cli("tenant", "create", "tuning-neighbours")
    key = server.cli_json("key", "create", "--tenant", "tuning-neighbours")["key"]
    with openai.OpenAI(base_url=server.base_url, api_key=key, max_retries=0) as other:
        assert not list(other.fine_tuning.jobs.list())
        for ask in (other.fine_tuning.jobs.retrieve, other.fine_tuning.jobs.cancel, other.fine_tuning.jobs.list_events):
            with pytest.raises(openai.NotFoundError):
                ask(job.id)
    assert over(client, job).status == "succeeded"
