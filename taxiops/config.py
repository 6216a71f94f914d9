"""Settings: option > environment variable > [tool.taxiops] > default, each with its origin."""

import contextlib
import difflib
import math
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from taxiops.errors import UsageError

LOCAL, AZURE = "local", "azure"
DEV, PROD = "dev", "prod"
MASK = "********"

# Azure's naming rule for endpoints and deployments (AML managed online endpoint limits).
NAME_PATTERN = re.compile(r"[a-zA-Z](?:[a-zA-Z0-9]|-(?=[a-zA-Z0-9])){2,31}")
MODEL_PATTERN = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,200}")


@dataclass(frozen=True)
class Key:
    """One setting: its name in `[tool.taxiops]` and as an option, its variable, its default."""

    name: str
    variable: str
    default: str = ""
    secret: bool = False


KEYS = (
    Key("cloud", "TAXIOPS_CLOUD", LOCAL),
    Key("env", "TAXIOPS_ENV", DEV),
    Key("model_base", "AML_MODEL_BASE", "taxi-class"),
    Key("subscription", "AZURE_SUBSCRIPTION_ID"),
    Key("dev_resource_group", "AML_DEV_RESOURCE_GROUP"),
    Key("prod_resource_group", "AML_PROD_RESOURCE_GROUP"),
    Key("dev_workspace", "AML_DEV_WORKSPACE", "mlwdevcc01"),
    Key("prod_workspace", "AML_PROD_WORKSPACE", "mlwprodcc01"),
    Key("compute", "AML_DEV_COMPUTE", "aml-cluster-dev-cc01"),
    Key("prod_compute", "AML_PROD_COMPUTE", "aml-cluster-prod-cc01"),
    Key("registry", "AML_DEV_REGISTRY", "mlrdevcc01"),
    Key("dev_deployment_name", "AML_DEV_DEPLOYMENT_NAME"),
    Key("prod_deployment_name", "AML_PROD_DEPLOYMENT_NAME"),
    Key("dev_traffic_percent", "AML_DEV_TRAFFIC_PERCENT", "30"),
    Key("prod_traffic_percent", "AML_PROD_TRAFFIC_PERCENT", "30"),
    Key("dev_endpoint", "AML_DEV_ENDPOINT"),
    Key("prod_endpoint", "AML_PROD_ENDPOINT"),
    Key("client_id", "AZURE_CLIENT_ID"),
    Key("client_secret", "AZURE_CLIENT_SECRET", secret=True),
    Key("tenant_id", "AZURE_TENANT_ID"),
    Key("signing_key", "TAXIOPS_SIGNING_KEY", secret=True),
    Key("verifying_key", "TAXIOPS_VERIFYING_KEY"),
    Key("output", "TAXIOPS_OUTPUT", "artifacts"),
    Key("emulator_state", "TAXIOPS_EMULATOR_STATE", ".taxiops/emulator"),
    Key("emulator_idle_minutes", "TAXIOPS_EMULATOR_IDLE_MINUTES", "60"),
)
TABLES = ("gate", "rollout")

LOCAL_SUBSCRIPTION = "00000000-0000-0000-0000-000000000000"
LOCAL_GROUPS = {DEV: "rg-local-dev", PROD: "rg-local-prod"}


@dataclass(frozen=True)
class Value:
    """A setting's effective value and where it came from. An empty value is an unset one."""

    value: str
    origin: str


@dataclass(frozen=True)
class EnvironmentSettings:
    """What differs between Dev and Prod. `deployment_name` empty: choose the idle slot."""

    name: str
    resource_group: str
    workspace: str
    endpoint: str
    deployment_name: str
    traffic_percent: int
    compute: str


@dataclass(frozen=True)
class Settings:
    """The effective configuration of one command."""

    cloud: str
    env: str
    model_base: str
    subscription: str
    registry: str
    dev: EnvironmentSettings
    prod: EnvironmentSettings
    client_id: str
    client_secret: str
    tenant_id: str
    output: Path
    emulator_state: Path
    emulator_idle_minutes: float
    root: Path
    tables: Mapping[str, Mapping[str, Any]]
    values: Mapping[str, Value]

    @property
    def model_name(self) -> str:
        """The registered model's name, in the workspaces and the registry."""
        return f"{self.model_base}-dev"

    @property
    def is_local(self) -> bool:
        return self.cloud == LOCAL

    def environment(self, name: str = "") -> EnvironmentSettings:
        """The settings of `dev` or `prod`; of the selected one when no name is given."""
        return self.prod if (name or self.env) == PROD else self.dev

    def shown(self) -> dict[str, Value]:
        """Every value with its origin, secrets masked."""
        secrets = {key.name for key in KEYS if key.secret}
        return {
            name: Value(MASK, value.origin) if name in secrets and value.value else value
            for name, value in self.values.items()
        }


def load_settings(
    options: Mapping[str, str | None],
    environ: Mapping[str, str],
    cwd: Path,
    config_file: Path | None = None,
) -> Settings:
    """Resolve every setting. `options` maps key names to values given on the command line.

    Raises UsageError naming the file and key, or the variable, that is wrong.
    """
    path = config_file or find_pyproject(cwd)
    table = read_table(path) if path else {}
    values = {key.name: resolve(key, options, environ, table, path) for key in KEYS}
    check_choice(values["cloud"], "cloud", (LOCAL, AZURE))
    check_choice(values["env"], "env", (DEV, PROD))
    check_pattern(values["model_base"], "model_base", MODEL_PATTERN)
    fill_derived(values)
    root = path.parent if path else cwd
    return Settings(
        cloud=values["cloud"].value,
        env=values["env"].value,
        model_base=values["model_base"].value,
        subscription=values["subscription"].value,
        registry=values["registry"].value,
        dev=environment_settings(DEV, values),
        prod=environment_settings(PROD, values),
        client_id=values["client_id"].value,
        client_secret=values["client_secret"].value,
        tenant_id=values["tenant_id"].value,
        output=cwd / values["output"].value,
        emulator_state=emulator_folder(values["emulator_state"], cwd, root),
        emulator_idle_minutes=minutes(values["emulator_idle_minutes"]),
        root=root,
        tables={name: dict(table.get(name, {})) for name in TABLES},
        values=values,
    )


def emulator_folder(value: Value, cwd: Path, root: Path) -> Path:
    """Relative to the project unless typed by a person, so that sub-folders share one emulator."""
    typed = value.origin.startswith(("option", "environment"))
    return (cwd if typed else root) / value.value


def find_pyproject(cwd: Path) -> Path | None:
    """The nearest pyproject.toml, upward, that has a [tool.taxiops] table; else the nearest."""
    found = [
        folder / "pyproject.toml"
        for folder in (cwd, *cwd.parents)
        if (folder / "pyproject.toml").is_file()
    ]
    return next((path for path in found if "[tool.taxiops" in read_text(path)), None)


def read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"{path}: cannot be read: {error}", hint="Check --config.", code="config-unreadable"
        ) from error


def read_table(path: Path) -> dict[str, Any]:
    """The [tool.taxiops] table; raises UsageError on bad TOML, unknown keys or wrong types."""
    try:
        document = tomllib.loads(read_text(path))
    except tomllib.TOMLDecodeError as error:
        raise UsageError(
            f"{path}: not valid TOML: {error}", hint="Correct that line.", code="config-invalid"
        ) from error
    table = document.get("tool", {}).get("taxiops", {})
    known = {key.name for key in KEYS} | set(TABLES)
    for name, value in table.items():
        where = f"{path}: [tool.taxiops] {name}"
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"Did you mean {close[0]!r}?" if close else f"Known keys: {sorted(known)}."
            raise UsageError(f"{where}: unknown key.", hint=hint, code="config-unknown-key")
        if name in TABLES and not isinstance(value, dict):
            raise UsageError(f"{where}: must be a table.", code="config-invalid")
        if name in TABLES and not value:
            raise UsageError(
                f"{where}: the table is empty.",
                why="Nobody can tell whether it says what was meant.",
                hint="Say what differs from the defaults, or remove the table's heading.",
                code="config-invalid",
            )
        if name not in TABLES and (isinstance(value, bool) or not isinstance(value, str | int)):
            raise UsageError(f"{where}: must be text or a whole number.", code="config-invalid")
    for key in KEYS:
        if not key.secret or not table.get(key.name):
            continue
        raise UsageError(
            f"{path}: [tool.taxiops] {key.name}: a secret must not stand in a file.",
            hint=f"Remove it, replace the secret, and set {key.variable} instead.",
            code="config-secret-in-file",
        )
    return dict(table)


def resolve(
    key: Key,
    options: Mapping[str, str | None],
    environ: Mapping[str, str],
    table: Mapping[str, Any],
    path: Path | None,
) -> Value:
    option = options.get(key.name)
    if option:
        return Value(option, f"option --{key.name.replace('_', '-')}")
    if environ.get(key.variable):
        return Value(environ[key.variable], f"environment {key.variable}")
    if table.get(key.name) not in (None, ""):
        return Value(str(table[key.name]), f"{path} [tool.taxiops] {key.name}")
    return Value(key.default, "default" if key.default else "not set")


def fill_derived(values: dict[str, Value]) -> None:
    """Defaults that follow from other settings."""
    for env in (DEV, PROD):
        if not values[f"{env}_endpoint"].value:
            name = f"{values['model_base'].value}-{env}"
            values[f"{env}_endpoint"] = Value(name, "default (from model_base)")
        if values["cloud"].value == LOCAL and not values[f"{env}_resource_group"].value:
            values[f"{env}_resource_group"] = Value(LOCAL_GROUPS[env], "default (local)")
    if values["cloud"].value == LOCAL and not values["subscription"].value:
        values["subscription"] = Value(LOCAL_SUBSCRIPTION, "default (local)")


def environment_settings(env: str, values: Mapping[str, Value]) -> EnvironmentSettings:
    endpoint = values[f"{env}_endpoint"]
    deployment_name = values[f"{env}_deployment_name"]
    check_pattern(endpoint, f"{env}_endpoint", NAME_PATTERN)
    if deployment_name.value:
        check_pattern(deployment_name, f"{env}_deployment_name", NAME_PATTERN)
    return EnvironmentSettings(
        name=env,
        resource_group=values[f"{env}_resource_group"].value,
        workspace=values[f"{env}_workspace"].value,
        endpoint=endpoint.value.lower(),
        deployment_name=deployment_name.value.lower(),
        traffic_percent=percent(values[f"{env}_traffic_percent"], f"{env}_traffic_percent"),
        compute=values["compute" if env == DEV else "prod_compute"].value,
    )


def check_choice(value: Value, name: str, choices: tuple[str, ...]) -> None:
    if value.value not in choices:
        raise UsageError(
            f"{name} is {value.value!r} ({value.origin}); it must be one of {', '.join(choices)}.",
            hint="taxiops config show",
            code="config-invalid",
        )


def check_pattern(value: Value, name: str, pattern: re.Pattern[str]) -> None:
    if not pattern.fullmatch(value.value):
        raise UsageError(
            f"{name} is {value.value!r} ({value.origin}); Azure does not accept that name.",
            why="Endpoint and deployment names have 3-32 letters, digits and single dashes, "
            "and begin with a letter.",
            hint="taxiops config show",
            code="config-invalid",
        )


def percent(value: Value, name: str) -> int:
    if not value.value.isdecimal() or not 0 <= int(value.value) <= 100:
        raise UsageError(
            f"{name} is {value.value!r} ({value.origin}); it must be a whole number, 0 to 100.",
            hint="taxiops config show",
            code="config-invalid",
        )
    return int(value.value)


def minutes(value: Value) -> float:
    """How long an emulator may be idle; 0: for ever."""
    with contextlib.suppress(ValueError):
        found = float(value.value)
        if 0 <= found < math.inf:
            return found
    raise UsageError(
        f"emulator_idle_minutes is {value.value!r} ({value.origin}); it must be a number of "
        "minutes, 0 or more.",
        hint="taxiops config show",
        code="config-invalid",
    )
