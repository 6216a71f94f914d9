"""The curated environments of Microsoft's public registry `azureml`, as far as we know them; pure.

Names: github.com/Azure/azureml-assets and Microsoft's public samples. A workspace shows them as
`AzureML-` and the name. Of an environment every whole version number is taken to exist, as the
numbers go up with each rebuild of the image and samples pin any of them.
"""

from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]

REGISTRY = "azureml"
SUBSCRIPTION, GROUP = "00000000-0000-0000-0000-000000000000", "azureml-rg"
ID = (
    f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{GROUP}"
    f"/providers/Microsoft.MachineLearningServices/registries/{REGISTRY}"
)
SCOPE = ID.lower()
STORED: Json = {
    "id": ID,
    "scope": SCOPE,
    "name": REGISTRY,
    "guid": "00000000-0000-0000-0000-00000000a2e1",
    "subscription": SUBSCRIPTION,
    "resource_group": GROUP,
    "location": "eastus",
}
WORKSPACE_PREFIX = "azureml-"
SYSTEM = "-ubuntu"
MOST_VERSION = 999
SINCE = "2022-01-01T00:00:00+00:00"
STAMPS = {"createdAt": SINCE, "createdBy": "Microsoft", "createdByType": "User"}


@dataclass(frozen=True)
class Family:
    """Environments that hold the same packages.

    python: its version. newest: what `latest` stands for. packages: requirements for pip, for
    whoever builds one; what a GPU image adds is left out.
    """

    names: tuple[str, ...]
    python: str
    newest: int
    packages: tuple[str, ...]


USUAL = ("numpy", "pandas", "scipy", "matplotlib", "joblib", "mlflow", "azureml-mlflow")
FAMILIES = (
    Family(("sklearn-1.5",), "3.10", 52, (*USUAL, "scikit-learn==1.5.*")),
    Family(("sklearn-1.1",), "3.10", 40, (*USUAL, "scikit-learn==1.1.*")),
    Family(
        ("sklearn-1.0", "sklearn-1.0-ubuntu20.04-py38-cpu"),
        "3.8",
        85,
        (*USUAL, "scikit-learn==1.0.*"),
    ),
    Family(
        ("sklearn-0.24-ubuntu18.04-py37-cpu", "sklearn-0.24.1-ubuntu18.04-py37-cpu-inference"),
        "3.7",
        55,
        (*USUAL, "scikit-learn==0.24.*"),
    ),
    Family(
        ("lightgbm-3.3", "lightgbm-3.2-ubuntu18.04-py37-cpu"),
        "3.8",
        70,
        (*USUAL, "scikit-learn", "lightgbm==3.*"),
    ),
    Family(
        (
            "tensorflow-2.16-cuda12",
            "tensorflow-2.16-cuda11",
            "tensorflow-2.12-cuda11",
            "tensorflow-2.11-cuda11",
            "tensorflow-2.7-ubuntu20.04-py38-cuda11-gpu",
            "tensorflow-2.5-ubuntu20.04-py38-cuda11-gpu",
            "tensorflow-2.4-ubuntu18.04-py37-cuda11-gpu",
        ),
        "3.10",
        50,
        (*USUAL, "tensorflow"),
    ),
    Family(
        (
            "acpt-pytorch-2.8-cuda12.6",
            "acpt-pytorch-2.7-cuda12.6",
            "acpt-pytorch-2.5-cuda12.4",
            "acpt-pytorch-2.4-cuda12.4",
            "acpt-pytorch-2.3-cuda12.1",
            "acpt-pytorch-2.2-cuda12.1",
            "acpt-pytorch-2.1-cuda12.1",
            "acpt-pytorch-2.0-cuda11.7",
            "acpt-pytorch-1.13-cuda11.7",
            "acpt-pytorch-1.13-py38-cuda11.7-gpu",
            "acpt-pytorch-1.12-cuda11.6",
            "acpt-pytorch-1.12-py39-cuda11.6-gpu",
            "acpt-pytorch-1.11-cuda11.3",
            "pytorch-1.10-ubuntu18.04-py38-cuda11-gpu",
            "pytorch-1.9-ubuntu18.04-py37-cuda11-gpu",
            "pytorch-1.8-ubuntu18.04-py37-cuda11-gpu",
            "pytorch-1.7-ubuntu18.04-py37-cuda11-gpu",
        ),
        "3.10",
        40,
        (*USUAL, "torch", "torchvision"),
    ),
    Family(
        (
            "minimal-py312-inference",
            "minimal-py311-inference",
            "minimal-ubuntu22.04-py39-cpu-inference",
            "minimal-ubuntu20.04-py38-cpu-inference",
            "minimal-ubuntu18.04-py37-cpu-inference",
        ),
        "3.11",
        60,
        ("azureml-inference-server-http",),
    ),
    Family(
        ("mlflow-py312-inference", "mlflow-ubuntu20.04-py38-cpu-inference"),
        "3.12",
        60,
        (*USUAL, "azureml-inference-server-http", "scikit-learn"),
    ),
    Family(("python-sdk-v2",), "3.10", 40, (*USUAL, "azure-ai-ml", "azure-identity")),
    Family(
        ("responsibleai-tabular", "responsibleai-ubuntu20.04-py38-cpu"),
        "3.9",
        30,
        (*USUAL, "scikit-learn", "responsibleai"),
    ),
    Family(("minimal",), "3.10", 1, ()),
)
BY_NAME = {name.lower(): (name, family) for family in FAMILIES for name in family.names}
NAMES = tuple(sorted(name for name, _ in BY_NAME.values()))


def name_in_workspace(name: str) -> str:
    """What the registry calls the environment that a workspace shows by this name; or nothing."""
    if not name.lower().startswith(WORKSPACE_PREFIX):
        return ""
    return name[len(WORKSPACE_PREFIX) :]


def name_in_registry(name: str) -> str:
    """The name we know it by: those with the image's system in them have the prefix there too."""
    return name_in_workspace(name) if SYSTEM in name else name


def registry_name(shown: str) -> str:
    """What the registry calls an environment that a workspace shows; empty when it is unknown."""
    found = BY_NAME.get(name_in_workspace(shown).lower())
    if found is None:
        return ""
    return f"AzureML-{found[0]}" if SYSTEM in found[0] else found[0]


def requirements(name: str) -> tuple[str, tuple[str, ...]] | None:
    """(Python's version, requirements) of a curated environment, by either of its names."""
    found = BY_NAME.get((name_in_workspace(name) or name).lower())
    return (found[1].python, found[1].packages) if found else None


def document(name: str, shown: str, version: str) -> Json | None:
    """A version of a curated environment as assets are stored; None for one that is unknown.

    shown: the name in the scope that asked.
    """
    found = BY_NAME.get(name.lower())
    is_version = version.isdecimal() and 1 <= int(version) <= MOST_VERSION
    if found is None or not is_version:
        return None
    properties: Json = {
        "image": f"mcr.microsoft.com/azureml/curated/{found[0]}:{version}",
        "osType": "Linux",
        "environmentType": "Curated",
        "description": f"Curated environment with Python {found[1].python}.",
        "isArchived": False,
        "isAnonymous": False,
        "tags": {},
        "properties": {},
    }
    return {"name": shown, "version": version, "properties": properties, "systemData": STAMPS}


def newest(name: str) -> str:
    """The version that `latest` stands for; empty for an environment that is unknown."""
    found = BY_NAME.get(name.lower())
    return str(found[1].newest) if found else ""


def container(name: str, shown: str) -> Json | None:
    """The container of a curated environment; None for one that is unknown."""
    version = newest(name)
    if not version:
        return None
    properties: Json = {"latestVersion": version, "nextVersion": str(int(version) + 1)}
    return {"name": shown, "properties": {**properties, "isArchived": False}}
