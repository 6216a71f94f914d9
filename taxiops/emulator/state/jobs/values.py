"""What inputs and outputs are to a command and on the wire of a job; pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]
LITERAL = "literal"
FILE, FOLDER = "uri_file", "uri_folder"
KIND_KEYS = ("job_input_type", "jobInputType", "job_output_type", "jobOutputType", "type")
OTHER_SPELLINGS = {
    "urifile": FILE,
    "urifolder": FOLDER,
    "path": FOLDER,
    "mlflowmodel": "mlflow_model",
    "custommodel": "custom_model",
    "tritonmodel": "triton_model",
}


@dataclass(frozen=True)
class Value:
    """The value of an input.

    text: what the command is given: a literal, or a path on this machine;
    uri: the address of data on Azure, empty for a literal; kind: `literal`, `uri_folder` ...
    """

    text: str
    uri: str = ""
    kind: str = LITERAL

    @property
    def identity(self) -> str:
        """What makes two values the same for the reuse of a step."""
        return self.uri or self.text

    def rest(self) -> Json:
        """As a job's document shows an input."""
        if not self.uri:
            return {"jobInputType": LITERAL, "value": self.text}
        return {"jobInputType": self.kind, "uri": self.uri, "mode": "ReadOnlyMount"}


@dataclass(frozen=True)
class Place:
    """Where an output goes. container and path: in the blob store; uri: its address on Azure."""

    container: str
    path: str
    kind: str
    uri: str
    mode: str = "ReadWriteMount"

    def document(self) -> Json:
        return {
            "container": self.container,
            "path": self.path,
            "kind": self.kind,
            "uri": self.uri,
            "mode": self.mode,
        }


def with_modes(properties: Mapping[str, Any]) -> Json:
    """A submitted job as Azure keeps it: data without a mode has the usual one."""
    filled = dict(properties)
    usual = (
        ("inputs", "jobInputType", "ReadOnlyMount"),
        ("outputs", "jobOutputType", "ReadWriteMount"),
    )
    for name, kind, mode in usual:
        given = properties.get(name)
        if isinstance(given, dict):
            filled[name] = {
                key: {**each, "mode": mode} if lacks_mode(each, kind) else each
                for key, each in given.items()
            }
    return filled


def lacks_mode(binding: object, kind: str) -> bool:
    """Whether it is a file, folder or model, and nobody said how it comes to the job."""
    if not isinstance(binding, dict) or binding.get("mode"):
        return False
    found = str(binding.get(kind))
    return found in {FILE, FOLDER} or found.endswith("_model")


def output_rest(location: Mapping[str, Any], binding: Mapping[str, Any]) -> Json:
    """As a job's document shows an output whose place is known."""
    shown = {
        "jobOutputType": location["kind"],
        "uri": location["uri"],
        "mode": location.get("mode") or "ReadWriteMount",
    }
    if asset := asset_name(binding):
        shown |= {"assetName": asset, "assetVersion": asset_version(binding)}
    return shown


def kind_of(*sources: Mapping[str, Any]) -> str:
    """The type of an input or output: the first that says more than `uri_folder`.

    sources: bindings and specifications, the one that counts most first. Clients say `uri_folder`
    where nothing was said; Azure spells types in either case (`UriFolder`, `uri_folder`).
    """
    for source in sources:
        kind = kind_in(source)
        if kind not in {"", LITERAL, FOLDER}:
            return kind
    return FOLDER


def kind_in(source: Mapping[str, Any]) -> str:
    named = [source.get(key) for key in KIND_KEYS]
    text = str(next((each for each in named if each), ""))
    return OTHER_SPELLINGS.get(text.lower(), text.lower())


def asset_name(binding: Mapping[str, Any]) -> str:
    """The name under which an output is to be registered, empty for none."""
    return str(binding.get("assetName") or binding.get("asset_name") or binding.get("name") or "")


def asset_version(binding: Mapping[str, Any]) -> str:
    return str(
        binding.get("assetVersion") or binding.get("asset_version") or binding.get("version") or ""
    )


def is_true(value: object) -> bool:
    return str(value).lower() == "true"


def workspace_uri(scope: str, datastore: str, path: str) -> str:
    """The long address of a path of a datastore; `scope`: the ARM id of the workspace."""
    parts = scope.split("/")
    return (
        f"azureml://subscriptions/{parts[2]}/resourcegroups/{parts[4]}/workspaces/{parts[-1]}"
        f"/datastores/{datastore}/paths/{path}"
    )
