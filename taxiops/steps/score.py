"""The scoring script of a deployment: init() loads the model, run() answers a request."""

import os
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_limits

from taxiops.errors import UsageError
from taxiops.steps.features import feature_matrix
from taxiops.steps.model_files import Model, load_model
from taxiops.steps.payload import BadRequest, trips_of_request

_loaded: dict[str, Model] = {}


def init() -> None:
    """Load the model below AZUREML_MODEL_DIR without trusting it; called once by the server."""
    folder = os.environ.get("AZUREML_MODEL_DIR", "")
    if not folder:
        raise UsageError("AZUREML_MODEL_DIR is not set.", hint="Run this in a deployment.")
    _loaded["model"] = load_model(Path(folder))
    # A request is a few rows: handing them to several threads costs more than it gains.
    threadpool_limits(1)


def answer(model: Model, raw: str) -> dict[str, Any]:
    """The response to a request's JSON text; raises BadRequest."""
    trips = trips_of_request(raw)
    fares = model.predict(feature_matrix(trips, model.features))
    return {
        "predictions": fares.tolist(),
        "model_sha256": model.sha256,
        "deployment": os.environ.get("TAXIOPS_DEPLOYMENT", ""),
        "model_version": os.environ.get("TAXIOPS_MODEL_VERSION", ""),
    }


def run(raw: str) -> object:
    """The answer, or status 400 with what is wrong. `raw` is the body as the server passes it."""
    try:
        return answer(_loaded["model"], raw)
    except BadRequest as error:
        return refusal({"error": str(error)})


def refusal(document: dict[str, str]) -> object:
    # Only the scoring server has this package; offline use of answer() must not need it.
    from azureml_inference_server_http.api.aml_response import AMLResponse

    return AMLResponse(document, 400, json_str=True)
