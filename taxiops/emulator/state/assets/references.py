"""The forms in which assets, datastore paths and job outputs are named; resolves nothing."""

import re

KINDS = {
    "models": "model",
    "data": "data",
    "environments": "environment",
    "components": "component",
    "codes": "code",
}
URI_KEY = {"model": "modelUri", "data": "dataUri", "code": "codeUri"}

_ASSET = (
    rf"/(?P<kind>{'|'.join(KINDS)})/(?P<name>[^/]+)"
    r"/(?P<by>versions|labels)/(?P<version>[^/]+)"
)
_WORKSPACE = (
    r"subscriptions/(?P<subscription>[^/]+)/resourcegroups/(?P<group>[^/]+)"
    r"(?:/providers/microsoft\.machinelearningservices)?/workspaces/(?P<workspace>[^/]+)"
)


def _form(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE)


ARM_ASSET = _form(
    r"(?P<scope>/subscriptions/[^/]+/resourcegroups/[^/]+/providers/"
    r"microsoft\.machinelearningservices/(?:workspaces|registries)/[^/]+)" + _ASSET
)
WORKSPACE_ASSET = _form(f"azureml://{_WORKSPACE}{_ASSET}")
REGISTRY_ASSET = _form(r"azureml://registries/(?P<registry>[^/]+)" + _ASSET)
LOCATION_ASSET = _form(
    r"azureml://locations/[^/]+/(?P<home>workspaces|registries)/(?P<guid>[^/]+)" + _ASSET
)
SHORT_ASSET = re.compile(
    r"(?:azureml:)?(?P<name>[^:@/]+)(?::(?P<version>[^:@/]+)|@(?P<label>[^:@/]+))"
)
DATASTORE_PATH = _form(
    rf"azureml://(?:{_WORKSPACE}/)?datastores/(?P<datastore>[^/]+)/paths(?:/|$)(?P<path>.*)"
)
JOB_OUTPUT = _form(
    rf"azureml://(?:{_WORKSPACE}/)?"
    r"jobs/(?P<job>[^/]+)/outputs/(?P<output>[^/]+)(?:/paths(?:/(?P<path>.*))?)?"
)

# How MLflow names a path among a run's artifacts.
RUN_ARTIFACT = re.compile(r"runs:/([^/]+)/(.+)")


def plain(reference: str) -> str:
    """Without the `azureml:` that may stand before an ARM id or another long form."""
    text = reference.removeprefix("azureml:")
    is_long = text.startswith(("/subscriptions/", "azureml://"))
    return text if is_long else reference


def job_output(reference: str) -> re.Match[str] | None:
    """The parts of the address of a job's output, MLflow's own form included."""
    text = RUN_ARTIFACT.sub(r"azureml://jobs/\1/outputs/artifacts/paths/\2", reference, count=1)
    return JOB_OUTPUT.fullmatch(plain(text))


def workspace_of(match: re.Match[str], otherwise: str) -> str:
    """The lower-cased ARM id of the workspace that a long form names; `otherwise` for a short."""
    if not match["workspace"]:
        return otherwise
    return (
        f"/subscriptions/{match['subscription']}/resourcegroups/{match['group']}"
        f"/providers/microsoft.machinelearningservices/workspaces/{match['workspace']}"
    ).lower()


def datastore_uri(workspace_id: str, datastore: str, path: str) -> str:
    """The long form of a path in a datastore; workspace_id: the ARM id as it was spelt."""
    home = workspace_id.replace("/providers/Microsoft.MachineLearningServices", "")
    home = home.replace("/resourceGroups/", "/resourcegroups/")
    return f"azureml:/{home}/datastores/{datastore}/paths/{path}"
