"""What a program inside a job may do with Azure, and what a failed pipeline leaves behind."""

import http.client
import json
import ssl
from typing import Any
from urllib.parse import urlsplit


def ask_for_token(emulator: Any, url: str, secret: str) -> tuple[int, dict[str, Any]]:
    parts = urlsplit(url)
    context = ssl.create_default_context(cafile=emulator.ca_file)
    connection = http.client.HTTPSConnection(parts.netloc, timeout=30, context=context)
    query = "?api-version=2017-09-01&resource=https://management.azure.com"
    connection.request("GET", parts.path + query, headers={"secret": secret})
    response = connection.getresponse()
    document: dict[str, Any] = json.loads(response.read())
    connection.close()
    return response.status, document


def test_a_program_in_a_job_uses_azure_with_the_managed_identity(ended: Any) -> None:
    asked = ended.asked
    assert asked["job"] == ended.name
    assert "from-a-job" in asked["models"]
    assert "from-a-job" in asked["registry"]


def test_the_client_in_a_job_tells_why_it_got_no_token(ended: Any) -> None:
    none, stranger, guessed = ended.asked["refusals"]
    assert none == ""
    assert "No identity 'stranger'" in stranger
    assert "MSI_SECRET of a running job" in guessed


def test_a_job_is_given_no_secret_but_its_own(ended: Any, emulator: Any) -> None:
    variables = ended.asked["variables"]
    assert not {"AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET"} & set(variables)
    assert emulator.document["client_secret"] not in variables.values()


def test_the_secret_of_an_ended_job_is_refused_in_words(ended: Any, emulator: Any) -> None:
    variables = ended.asked["variables"]
    status, document = ask_for_token(emulator, variables["MSI_ENDPOINT"], variables["MSI_SECRET"])
    assert status == 401
    assert document["error"] == "invalid_client"
    assert "running job" in document["error_description"]


def test_the_secret_of_a_job_is_nowhere_in_the_state(ended: Any, emulator: Any) -> None:
    secret = ended.asked["variables"]["MSI_SECRET"].encode()
    files = [each for each in emulator.state.glob("*") if each.is_file()]
    files += [each for each in (emulator.state / "jobs").rglob("*.txt") if each.is_file()]
    assert [each for each in files if secret in each.read_bytes()] == []


def test_outputs_of_a_failed_step_and_of_those_before_it_can_be_downloaded(ended: Any) -> None:
    assert (ended.output("broken") / "partial.txt").read_text() == "as far as it came"
    assert (ended.output("asked") / "weights.txt").read_text() == "1 2 3"


def test_a_docker_build_context_comes_back_as_it_was_sent(
    ended: Any, emulator: Any, workspace: Any
) -> None:
    name, version = workspace.jobs.get(ended.name).jobs["ask"].component.split(":")
    reference = workspace.components.get(name, version).environment
    name, _, version = reference.rsplit("/", 3)[-3:]
    build = workspace.environments.get(name, version).build
    assert build.dockerfile_path == "nested/Dockerfile"
    container, _, folder = build.path.rstrip("/").split("/", 3)[-1].partition("/")
    context = emulator.state / "blobs" / container / folder.removeprefix("/")
    assert (context / build.dockerfile_path).read_text() == "FROM python:3.11\n"
