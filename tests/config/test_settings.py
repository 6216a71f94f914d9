"""Where every setting comes from, and how a wrong one is refused."""

from pathlib import Path

import pytest

from taxiops.config import KEYS, load_settings
from taxiops.errors import UsageError


def write_pyproject(folder: Path, text: str) -> Path:
    path = folder / "pyproject.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_defaults_are_the_contract_ones(tmp_path: Path) -> None:
    settings = load_settings({}, {}, tmp_path)
    assert (settings.cloud, settings.env) == ("local", "dev")
    assert settings.model_name == "taxi-class-dev"
    assert (settings.dev.workspace, settings.prod.workspace) == ("mlwdevcc01", "mlwprodcc01")
    assert (settings.registry, settings.dev.compute) == ("mlrdevcc01", "aml-cluster-dev-cc01")
    assert (settings.dev.endpoint, settings.prod.endpoint) == ("taxi-class-dev", "taxi-class-prod")
    assert settings.dev.traffic_percent == settings.prod.traffic_percent == 30
    assert settings.output == tmp_path / "artifacts"
    assert settings.emulator_state == tmp_path / ".taxiops/emulator"


def test_option_beats_environment_beats_file_beats_default(tmp_path: Path) -> None:
    write_pyproject(tmp_path, '[tool.taxiops]\ncompute = "from-file"\nregistry = "from-file"\n')
    environ = {"AML_DEV_COMPUTE": "from-env", "AML_DEV_REGISTRY": "from-env"}
    settings = load_settings({"compute": "typed"}, environ, tmp_path)
    assert settings.values["compute"].value == "typed"
    assert settings.values["compute"].origin == "option --compute"
    assert settings.values["registry"].origin == "environment AML_DEV_REGISTRY"
    from_file = load_settings({}, {}, tmp_path).values["compute"]
    assert from_file.value == "from-file"
    assert from_file.origin.endswith("[tool.taxiops] compute")


def test_an_empty_variable_is_an_unset_one(tmp_path: Path) -> None:
    settings = load_settings({}, {key.variable: "" for key in KEYS}, tmp_path)
    assert settings.values["cloud"].origin == "default"


def test_the_file_is_found_upward_and_its_folder_is_the_root(tmp_path: Path) -> None:
    write_pyproject(tmp_path, '[tool.taxiops]\nmodel_base = "fares"\n')
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    settings = load_settings({}, {}, inner)
    assert settings.root == tmp_path
    assert settings.dev.endpoint == "fares-dev"
    assert settings.emulator_state == tmp_path / ".taxiops/emulator"


def test_a_pyproject_without_our_table_is_passed_over(tmp_path: Path) -> None:
    write_pyproject(tmp_path, '[tool.taxiops]\nmodel_base = "fares"\n')
    inner = tmp_path / "vendored"
    inner.mkdir()
    write_pyproject(inner, "[project]\nname = 'other'\n")
    assert load_settings({}, {}, inner).model_base == "fares"


def test_a_secret_is_masked_and_never_read_from_a_file(tmp_path: Path) -> None:
    settings = load_settings({}, {"AZURE_CLIENT_SECRET": "hunter2"}, tmp_path)
    assert settings.shown()["client_secret"].value == "********"
    write_pyproject(tmp_path, '[tool.taxiops]\nclient_secret = "hunter2"\n')
    with pytest.raises(UsageError) as caught:
        load_settings({}, {}, tmp_path)
    assert "hunter2" not in str(caught.value) + caught.value.hint


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[tool.taxiops]\ncompte = 'x'\n", "compte"),
        ("[tool.taxiops]\ncompute = true\n", "compute"),
        ("[tool.taxiops]\ngate = 3\n", "gate"),
        ("[tool.taxiops\n", "not valid TOML"),
    ],
)
def test_a_wrong_file_is_refused_naming_the_key(tmp_path: Path, text: str, expected: str) -> None:
    path = write_pyproject(tmp_path, text)
    with pytest.raises(UsageError, match=expected) as caught:
        load_settings({}, {}, tmp_path, path)
    assert str(path) in str(caught.value)


def test_a_misspelt_key_gets_a_suggestion(tmp_path: Path) -> None:
    write_pyproject(tmp_path, "[tool.taxiops]\ncompte = 'x'\n")
    with pytest.raises(UsageError) as caught:
        load_settings({}, {}, tmp_path)
    assert "'compute'" in caught.value.hint


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("TAXIOPS_CLOUD", "aws"),
        ("TAXIOPS_ENV", "staging"),
        ("AML_DEV_TRAFFIC_PERCENT", "101"),
        ("AML_PROD_TRAFFIC_PERCENT", "-1"),
        ("AML_DEV_TRAFFIC_PERCENT", "thirty"),
        ("AML_DEV_ENDPOINT", "1starts-with-a-digit"),
        ("AML_DEV_ENDPOINT", "ab"),
        ("AML_PROD_ENDPOINT", "double--dash"),
        ("AML_DEV_DEPLOYMENT_NAME", "under_score"),
        ("AML_MODEL_BASE", "../climb"),
    ],
)
def test_a_wrong_variable_is_refused_by_name(tmp_path: Path, variable: str, value: str) -> None:
    with pytest.raises(UsageError) as caught:
        load_settings({}, {variable: value}, tmp_path)
    assert variable in str(caught.value)


def test_names_of_slots_are_lower_case_as_azure_stores_them(tmp_path: Path) -> None:
    settings = load_settings({}, {"AML_DEV_DEPLOYMENT_NAME": "Green"}, tmp_path)
    assert settings.dev.deployment_name == "green"


def test_azure_needs_no_subscription_to_be_shown(tmp_path: Path) -> None:
    settings = load_settings({"cloud": "azure"}, {}, tmp_path)
    assert settings.values["subscription"].origin == "not set"
    assert settings.subscription == ""
