"""A valid body of every operation that takes one: what hostile bodies are made from."""

from typing import Any

Json = dict[str, Any]

# What stands for the parameters of a path when nothing hostile does.
NAMES = {
    "subscription": "sub",
    "group": "rg",
    "workspace": "mlw",
    "registry": "mlr",
    "tenant": "adfs",
    "location": "local",
    "kind": "models",
    "name": "thing",
    "version": "1",
    "endpoint": "served",
    "deployment": "blue",
    "experiment": "Default",
}
WORKSPACE = (
    "/subscriptions/sub/resourceGroups/rg/providers/Microsoft.MachineLearningServices"
    "/workspaces/mlw"
)
DATA_PLANE = (
    "/mferp/managementfrontend/subscriptions/sub/resourceGroups/rg/providers"
    "/Microsoft.MachineLearningServices/registries/mlr"
)
STORE = "azureml://datastores/workspaceblobstore/paths/folder"
ASSET: Json = {
    "description": "d",
    "tags": {"a": "b"},
    "properties": {"p": "q", "hash_sha256": "0"},
    "isAnonymous": False,
    "isArchived": False,
}
MODEL: Json = {
    "properties": {**ASSET, "modelUri": STORE, "modelType": "custom_model", "flavors": {}},
    "systemData": {},
}
BINDING: Json = {"jobInputType": "uri_folder", "uri": STORE, "mode": "ReadOnlyMount"}
OUTPUT: Json = {"jobOutputType": "uri_folder", "uri": None, "mode": "ReadWriteMount"}
JOB_COMMON: Json = {
    "displayName": "j",
    "experimentName": "e",
    "description": "d",
    "tags": {"a": "b"},
    "properties": {"p": "q"},
    "isArchived": False,
    "inputs": {"data": BINDING, "rate": {"jobInputType": "literal", "value": "1"}},
    "outputs": {"model": OUTPUT},
    "services": {},
}
COMMAND: Json = {
    "properties": {
        **JOB_COMMON,
        "jobType": "Command",
        "command": "true ${{inputs.rate}}",
        "computeId": f"{WORKSPACE}/computes/cpu",
        "codeId": f"{WORKSPACE}/codes/missing/versions/1",
        "environmentId": f"{WORKSPACE}/environments/thing/versions/1",
        "environmentVariables": {"A": "b"},
        "limits": {"jobLimitsType": "Command", "timeout": "PT1M"},
        "resources": {"instanceCount": 1, "properties": {}},
        "distribution": None,
    }
}
NODE: Json = {
    "type": "command",
    "name": "train",
    "componentId": f"{WORKSPACE}/components/thing/versions/1",
    "computeId": f"{WORKSPACE}/computes/cpu",
    "inputs": {"rate": {"job_input_type": "literal", "value": "${{parent.inputs.rate}}"}},
    "outputs": {"model": {"value": "${{parent.outputs.model}}", "type": "literal"}},
    "environment_variables": {"A": "b"},
    "limits": {"timeout": "PT1M"},
}
PIPELINE: Json = {
    "properties": {
        **JOB_COMMON,
        "jobType": "Pipeline",
        "settings": {"default_compute": "cpu", "continue_on_step_failure": False},
        "jobs": {"train": NODE},
    }
}
COMPONENT: Json = {
    "name": "thing",
    "version": "1",
    "type": "command",
    "command": "true",
    "code": f"azureml:{WORKSPACE}/codes/missing/versions/1",
    "environment": f"azureml:{WORKSPACE}/environments/thing/versions/1",
    "inputs": {"rate": {"type": "number", "default": "1", "optional": True}},
    "outputs": {"model": {"type": "uri_folder"}},
}
ENDPOINT: Json = {
    "location": "canadacentral",
    "tags": {"a": "b"},
    "kind": "Managed",
    "identity": {"type": "SystemAssigned"},
    "properties": {
        "authMode": "Key",
        "description": "d",
        "properties": {"p": "q"},
        "traffic": {"blue": 0},
        "mirrorTraffic": {},
        "keys": {"primaryKey": "one", "secondaryKey": "two"},
        "publicNetworkAccess": "Enabled",
    },
}
DEPLOYMENT: Json = {
    "location": "canadacentral",
    "tags": {"a": "b"},
    "kind": "Managed",
    "sku": {"name": "Default", "capacity": 1},
    "properties": {
        "endpointComputeType": "Managed",
        "description": "d",
        "instanceType": "Standard_DS3_v2",
        "environmentId": f"{WORKSPACE}/environments/thing/versions/1",
        "environmentVariables": {"A": "b"},
        "properties": {"p": "q"},
        "model": None,
        "codeConfiguration": None,
        "scaleSettings": {"scaleType": "Default"},
        "requestSettings": {"requestTimeout": "PT5S", "maxConcurrentRequestsPerInstance": 1},
        "livenessProbe": {"initialDelay": "PT1S", "period": "PT1S", "failureThreshold": 3},
        "readinessProbe": {"initialDelay": "PT1S", "timeout": "PT1S", "successThreshold": 1},
    },
}
CONTAINER: Json = {"properties": {"description": "d", "tags": {}, "isArchived": False}}
BODIES: dict[str, Json] = {
    "POST seed": {
        "workspaces": [
            {"subscription": "sub", "resource_group": "rg", "name": "mlw", "computes": ["cpu"]}
        ],
        "registries": [{"subscription": "sub", "resource_group": "rg", "name": "mlr"}],
    },
    "POST faults": {"kind": "slow", "on": "GET nothing", "target": "*", "count": 1},
    "POST quota": {"family": "standardDSv2Family", "limit": 400},
    "PUT models/versions": MODEL,
    "PUT registries/versions": MODEL,
    "PUT data/versions": {"properties": {**ASSET, "dataType": "uri_folder", "dataUri": STORE}},
    "PUT environments/versions": {
        "properties": {**ASSET, "image": "i", "condaFile": "{}", "osType": "Linux", "build": None}
    },
    "PUT components/versions": {"properties": {**ASSET, "componentSpec": COMPONENT}},
    "PUT codes/versions": {"properties": {**ASSET, "codeUri": STORE}},
    "PUT models": CONTAINER,
    "PUT data": CONTAINER,
    "PUT environments": CONTAINER,
    "PUT components": CONTAINER,
    "PUT codes": CONTAINER,
    "PUT registries": CONTAINER,
    "POST startPendingUpload": {"pendingUploadType": "TemporaryBlobReference"},
    "PUT tempdatarefs/versions": {"assetId": "x", "assetType": "models"},
    "POST datarefs/versions": {"blobUri": "https://127.0.0.1:2/container/blob", "assetId": "x"},
    "POST import": {
        "properties": {
            "referenceType": "Id",
            "destinationName": "copied",
            "destinationVersion": "1",
            "sourceAssetId": "azureml://locations/l/workspaces/mlw/models/missing/versions/1",
        }
    },
    "PUT jobs": PIPELINE,
    "PATCH runs": {
        "tags": {"a": "b"},
        "properties": {"p": "q"},
        "displayName": "n",
        "description": "d",
        "hidden": False,
    },
    "POST rundata": {"runId": "thing", "selectRunMetadata": True},
    "POST batchGetResolvedUris": {"values": ["azureml://outputs/thing/model"]},
    "PUT onlineEndpoints": ENDPOINT,
    "PATCH onlineEndpoints": {"tags": {"a": "b"}, "identity": {"type": "SystemAssigned"}},
    "POST regenerateKeys": {"keyType": "Primary", "keyValue": None},
    "PUT deployments": DEPLOYMENT,
    "PATCH deployments": {"tags": {"a": "b"}, "sku": {"name": "Default", "capacity": 1}},
    "POST getLogs": {"containerType": "InferenceServer", "tail": 10},
}
# Requests that put something behind each of NAMES, in this order.
SEEDING: tuple[tuple[str, Json], ...] = (
    ("POST /_emulator/seed", BODIES["POST seed"]),
    *(
        (f"PUT {WORKSPACE}/{kind}/thing/versions/1", BODIES[f"PUT {kind}/versions"])
        for kind in ("models", "data", "environments", "components", "codes")
    ),
    (f"PUT {DATA_PLANE}/models/thing/versions/1", MODEL),
    (f"PUT {WORKSPACE}/jobs/thing", COMMAND),
    (f"PUT {WORKSPACE}/onlineEndpoints/served", {**ENDPOINT, "properties": {"authMode": "Key"}}),
    (f"PUT {WORKSPACE}/onlineEndpoints/served/deployments/blue", DEPLOYMENT),
)
