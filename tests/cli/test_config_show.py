"""`taxiops config show`: every value with its origin, secrets masked."""

import pytest

from taxiops.config import KEYS, MASK


def test_every_key_is_shown_with_its_origin(document) -> None:
    shown = document("config", "show")
    assert set(shown) == {"schema_version", "values", "tables"}
    assert set(shown["values"]) == {key.name for key in KEYS}
    assert all(set(value) == {"value", "origin"} for value in shown["values"].values())


def test_options_and_variables_are_named_as_origin(document, monkeypatch) -> None:
    monkeypatch.setenv("AML_DEV_COMPUTE", "mine")
    values = document("config", "show", "--env", "prod")["values"]
    assert values["env"] == {"value": "prod", "origin": "option --env"}
    assert values["compute"] == {"value": "mine", "origin": "environment AML_DEV_COMPUTE"}


@pytest.mark.parametrize("form", [(), ("--json",), ("--verbose",)])
def test_a_secret_is_never_shown(form, typed, monkeypatch) -> None:
    monkeypatch.setenv("AZURE_CLIENT_SECRET", "hush-hush")
    output = typed("config", "show", *form).output
    assert "hush-hush" not in output
    assert MASK in output


def test_the_first_line_names_where_it_acts(typed) -> None:
    assert typed("config", "show").stdout.startswith(
        "local emulator: dev workspace mlwdevcc01, prod workspace mlwprodcc01\n"
    )
    azure = typed("config", "show", "--cloud", "azure").stdout
    assert azure.startswith("Azure subscription (not set): dev workspace")


def test_with_json_what_is_for_people_goes_to_stderr(typed) -> None:
    result = typed("config", "show", "--json")
    assert result.stdout.startswith("{")
    assert result.stderr.startswith("local emulator")


def test_json_and_quiet_leave_the_document_alone(typed) -> None:
    result = typed("config", "show", "--json", "--quiet")
    assert result.stdout.startswith("{")
    assert result.stderr == ""


def test_a_file_can_be_named(document, tmp_path) -> None:
    path = tmp_path / "other.toml"
    path.write_text('[tool.taxiops]\ncompute = "other"\n[tool.taxiops.gate]\nconfidence = 0.9\n')
    shown = document("config", "show", "--config", str(path))
    assert shown["values"]["compute"]["value"] == "other"
    gate = shown["tables"]["gate"]
    assert gate["confidence"] == {"value": 0.9, "origin": "[tool.taxiops.gate]"}
    assert gate["primary_metric"] == {"value": "mae", "origin": "default"}


def test_a_misspelt_key_in_a_table_is_refused(typed, tmp_path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.taxiops.gate]\nconfidense = 0.9\n")
    result = typed("config", "show")
    assert result.exit_code == 2
    assert "Did you mean 'confidence'?" in result.stderr
