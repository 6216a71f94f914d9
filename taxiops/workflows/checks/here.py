"""What a diagnosis asks of this machine: settings, names, versions, files, GitHub's names."""

import importlib.util
import os
import re
import shutil
import sys
from collections.abc import Iterable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from taxiops.cloud.client import require
from taxiops.config import DEV, KEYS, PROD
from taxiops.domain.policy import parse_policy
from taxiops.errors import ExitCode, TaxiopsError
from taxiops.workflows.checks.finding import ERROR, WARNING, Check, Finding, Subject, fine, found
from taxiops.workflows.release import PIPELINE
from taxiops.workflows.rollouts.limits import parse_limits
from taxiops.workflows.source_code import UNKNOWN as NO_COMMIT
from taxiops.workflows.source_code import read_revision

LEAST_PYTHON, LEAST_SDK = (3, 11), (1, 35, 1)
LEAST_BYTES, SCARCE_BYTES = 512 * 1024**2, 2 * 1024**3
# Azure's naming rules (learn.microsoft.com/azure/azure-resource-manager/management/
# resource-name-rules, Microsoft.MachineLearningServices and Microsoft.Resources).
WORKSPACE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{2,32}")
COMPUTE_NAME = re.compile(r"[A-Za-z](?:[A-Za-z0-9-]{0,30}[A-Za-z0-9])")
GROUP_NAME = re.compile(r"[\w().-]{0,89}[\w()-]")
SUBSCRIPTION = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
WORKFLOW_NAME = re.compile(r"\b(vars|secrets)\.([A-Z][A-Z0-9_]*)")
USAGE = ExitCode.USAGE
PIN = re.compile(r"^azure-ai-ml==([0-9.]+)", re.MULTILINE)


def check_configuration(subject: Subject) -> Sequence[Finding]:
    """Whether the tables are readable, and whether all is set that has no default."""
    findings = []
    tables = subject.settings.tables
    for parse, table in ((parse_policy, tables["gate"]), (parse_limits, tables["rollout"])):
        try:
            parse(table)
        except TaxiopsError as error:
            findings.append(found(error))
    for env in () if subject.settings.is_local else subject.environments:
        try:
            require(subject.settings, subject.settings.environment(env))
        except TaxiopsError as error:
            findings.append(found(error))
    return findings or [fine(f"cloud {subject.settings.cloud}; taxiops config show tells the rest")]


def check_names(subject: Subject) -> Sequence[Finding]:
    """Whether Azure would accept the names, and whether Dev and Prod are told apart."""
    settings, findings = subject.settings, []
    places = [settings.environment(env) for env in subject.environments]
    named = [("registry", settings.registry, WORKSPACE_NAME, "AML_DEV_REGISTRY")]
    named += [("subscription", settings.subscription, SUBSCRIPTION, "AZURE_SUBSCRIPTION_ID")]
    for place in places:
        prefix = f"AML_{place.name.upper()}"
        named += [
            ("workspace", place.workspace, WORKSPACE_NAME, f"{prefix}_WORKSPACE"),
            ("compute", place.compute, COMPUTE_NAME, f"{prefix}_COMPUTE"),
            ("resource group", place.resource_group, GROUP_NAME, f"{prefix}_RESOURCE_GROUP"),
        ]
    for what, name, pattern, variable in named:
        if name and not pattern.fullmatch(name):
            text = f"The {what} {name!r} is no name that Azure accepts ({pattern.pattern})."
            findings.append(wrong(text, f"export {variable}=..."))
    dev, prod = settings.dev, settings.prod
    if (dev.resource_group, dev.workspace) == (prod.resource_group, prod.workspace):
        text = f"Dev and Prod are the same workspace, {dev.workspace}."
        findings.append(wrong(text, "export AML_PROD_WORKSPACE=..."))
    if dev.endpoint == prod.endpoint and not settings.is_local:
        text = f"Dev and Prod have one endpoint name, {dev.endpoint}; a region takes it only once."
        findings.append(Finding(WARNING, text, "export AML_PROD_ENDPOINT=..."))
    text = ", ".join(f"{place.name} {place.endpoint}" for place in places)
    return findings or [fine(f"endpoints {text}; every name is one that Azure accepts")]


def wrong(what: str, remedy: str) -> Finding:
    """A setting that no release can work with."""
    return Finding(ERROR, what, remedy, "config-invalid", ExitCode.USAGE)


def check_versions(subject: Subject) -> Sequence[Finding]:
    """Python, the SDK, and whether it is the one that is pinned."""
    findings = []
    python = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info[:2] < LEAST_PYTHON:
        text = f"This is Python {python}; 3.11 is the oldest that works."
        findings.append(Finding(ERROR, text, "make demo, with PYTHON=/path/to/python3.13"))
    sdk = installed("azure-ai-ml")
    if tuple(int(part) for part in sdk.split(".")[:3] if part.isdecimal()) < LEAST_SDK:
        text = f"azure-ai-ml is {sdk or 'missing'}; before 1.35.1 a downloaded report may be empty."
        findings.append(Finding(ERROR, text, "pip install --upgrade taxiops"))
    pinned = PIN.search(text_of(subject.settings.root / "requirements.lock"))
    if sdk and pinned and pinned.group(1) != sdk:
        text = f"azure-ai-ml is {sdk}, requirements.lock pins {pinned.group(1)}."
        findings.append(Finding(WARNING, text, "make .venv/.installed"))
    if subject.settings.is_local and importlib.util.find_spec("uvicorn") is None:
        text = "The emulator is not installed."
        findings.append(Finding(ERROR, text, "pip install 'taxiops[emulator]'"))
    return findings or [fine(f"Python {python}, azure-ai-ml {sdk}, taxiops {installed('taxiops')}")]


def installed(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""


def check_project(subject: Subject) -> Sequence[Finding]:
    """Whether this is a clone: pipeline, code and commit are taken from it."""
    if not PIPELINE.is_file():
        text = f"{PIPELINE}: not there; a release trains with it."
        return [Finding(ERROR, text, "Run taxiops inside a clone of the repository.", "", USAGE)]
    commit = read_revision(subject.settings.root, subject.environ).commit
    if commit == NO_COMMIT:
        text = "No commit is known here: models will not say which code made them."
        return [Finding(WARNING, text, "git status")]
    if commit.endswith("-dirty"):
        text = f"Tracked files differ from commit {commit[:10]}: it will be noted as -dirty."
        return [Finding(WARNING, text, "git status")]
    return [fine(f"commit {commit[:10]}")]


def check_disk(subject: Subject) -> Sequence[Finding]:
    """Whether what a release writes can be written, and fits."""
    settings, findings = subject.settings, []
    folders = {"output": settings.output, "journal": settings.root / ".taxiops"}
    if settings.is_local:
        folders["emulator"] = settings.emulator_state
    for what, folder in folders.items():
        there = next(each for each in (folder, *folder.parents) if each.exists())
        if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
            text = f"The {what} folder {folder} cannot be written."
            findings.append(Finding(ERROR, text, f"ls -ld {there}", "output-unwritable", USAGE))
            continue
        free = shutil.disk_usage(there).free
        if free < SCARCE_BYTES:
            severity = ERROR if free < LEAST_BYTES else WARNING
            text = f"The {what} folder {folder} has {free / 1024**2:.0f} MB left."
            findings.append(Finding(severity, text, "taxiops emulator reset, or make room"))
    return findings or [fine(f"{', '.join(folders)} can be written")]


def check_github(subject: Subject) -> Sequence[Finding]:
    """What the workflows name of variables and secrets: set, on a runner; else which there are.

    Nobody can ask for a secret's value, and a runner sees only those that its step was given.
    """
    named = workflow_names(subject.settings.root)
    if not named:
        return [fine("no workflow names a variable or secret")]
    needed = sorted(name for name in named if name in without_default())
    if subject.environ.get("GITHUB_ACTIONS") != "true":
        others = len(named) - len(needed)
        text = f"for --cloud azure GitHub must have {listed(needed, named)}; {others} more have "
        return [fine(f"{text}defaults (docs/reference/github.md)")]
    if subject.settings.is_local:
        return [fine("none is needed for --cloud local")]
    not_ours = tuple(f"AML_{env.upper()}_" for env in {DEV, PROD} - set(subject.environments))
    missing = [
        name for name in needed if not subject.environ.get(name) and not name.startswith(not_ours)
    ]
    if not missing:
        return [fine(f"set: {listed(needed, named)}")]
    kind = {"vars": "variable", "secrets": "secret"}[named[missing[0]]]
    remedy = f"gh {kind} set {missing[0]}"
    text = f"not set in this step: {listed(missing, named)}"
    return [Finding(ERROR, text, remedy, "azure-settings-missing", USAGE)]


def without_default() -> set[str]:
    """Variables that Azure cannot do without and that have no default."""
    needed = {"subscription", "dev_resource_group", "prod_resource_group", "client_id", "tenant_id"}
    return {key.variable for key in KEYS if key.name in needed}


def workflow_names(root: Path) -> dict[str, str]:
    """Name -> `vars` or `secrets`, for all that the workflows of the project read."""
    files = sorted((root / ".github" / "workflows").glob("*.y*ml"))
    found_names = (WORKFLOW_NAME.findall(text_of(path)) for path in files)
    pairs = (pair for names in found_names for pair in names)
    return {name: kind for kind, name in pairs if name != "GITHUB_TOKEN"}


def listed(names: Iterable[str], kinds: dict[str, str]) -> str:
    return ", ".join(f"{kinds[name]}.{name}" for name in names) or "none"


LOCAL_CHECKS = (
    Check("configuration", check_configuration),
    Check("names", check_names),
    Check("versions", check_versions),
    Check("project", check_project),
    Check("disk", check_disk),
    Check("GitHub", check_github),
)
