"""Settings that travel with an Azure ML job; the job's own place completes them."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from taxiops.config import AZURE, KEYS, Settings, load_settings
from taxiops.errors import UsageError
from taxiops.steps.literals import decode_literal, encode_literal

# What a job finds out where it runs, or must not be told: its place, its output, its secrets.
OWN = frozenset(
    {"cloud", "env", "output", "emulator_state", "client_id", "tenant_id", "verifying_key"}
)
SUBSCRIPTION, GROUP = "AZUREML_ARM_SUBSCRIPTION", "AZUREML_ARM_RESOURCEGROUP"
WORKSPACE, ROOT_RUN = "AZUREML_ARM_WORKSPACE_NAME", "AZUREML_ROOT_RUN_ID"


def travelling() -> dict[str, str]:
    """Variable -> key of every setting that may travel."""
    return {key.variable: key.name for key in KEYS if not key.secret and key.name not in OWN}


def encode_settings(settings: Settings) -> str:
    """Every setting that is no default, and the tables, as one literal job input; no secret."""
    values = {
        variable: settings.values[name].value
        for variable, name in travelling().items()
        if not settings.values[name].origin.startswith(("default", "not set"))
    }
    tables = {name: dict(table) for name, table in settings.tables.items()}
    document = {"values": values, "tables": tables}
    return encode_literal(json.dumps(document, sort_keys=True, separators=(",", ":")))


def settings_in_job(
    text: str, env: str, environ: Mapping[str, str], cwd: Path, output: Path
) -> Settings:
    """What was encoded, in the workspace in which this job runs; acts in Azure.

    Raises UsageError when the text is no encoded settings, or this is no Azure ML job.
    """
    missing = [name for name in (SUBSCRIPTION, GROUP, WORKSPACE, ROOT_RUN) if not environ.get(name)]
    if missing:
        raise UsageError(
            f"This is no Azure ML job: {', '.join(missing)} not set.",
            hint="taxiops deploy --as-job submits the pipeline whose jobs run this.",
            code="not-in-a-job",
        )
    document = decoded(text)
    values = {
        **document["values"],
        "AZURE_SUBSCRIPTION_ID": environ[SUBSCRIPTION],
        f"AML_{env.upper()}_RESOURCE_GROUP": environ[GROUP],
        f"AML_{env.upper()}_WORKSPACE": environ[WORKSPACE],
        "TAXIOPS_CLOUD": AZURE,
        "TAXIOPS_ENV": env,
        "TAXIOPS_OUTPUT": str(output.resolve()),
    }
    settings = load_settings({}, {**environ, **values}, cwd)
    tables = {**settings.tables, **document["tables"]}
    return replace(settings, tables=tables)


def decoded(text: str) -> dict[str, Any]:
    """The two mappings that were encoded, holding only what may travel."""
    try:
        document = json.loads(decode_literal(text))
        values, tables = document.get("values", {}), document.get("tables", {})
        known = travelling()
        strangers = sorted(set(values) - set(known))
        fits = all(isinstance(value, str) for value in values.values())
        fits = fits and all(isinstance(table, dict) for table in tables.values())
    except Exception as error:
        raise no_settings(type(error).__name__) from error
    if strangers or not fits:
        raise no_settings(f"unknown: {', '.join(strangers)}" if strangers else "wrong types")
    return {"values": values, "tables": tables}


def no_settings(why: str) -> UsageError:
    return UsageError(
        "--settings: not what taxiops encodes.",
        why=why,
        hint="Leave the pipeline's input settings at b64.e30, or submit with taxiops deploy "
        "--as-job.",
        code="settings-broken",
    )
