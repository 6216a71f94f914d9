"""The scoring script of MLflow models that are deployed without code: runs in a scoring server.

Requests as learn.microsoft.com/azure/machine-learning/how-to-deploy-mlflow-models says:
`input_data` holds a table (`columns`, `index`, `data`), rows, or tensors by name.
"""

import json
import os
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from azureml_inference_server_http.api.aml_response import AMLResponse

MODEL: Any = None


def init() -> None:
    """Load the one MLflow model below AZUREML_MODEL_DIR."""
    global MODEL
    try:
        # The served model's requirement, not ours.
        pyfunc = import_module("mlflow.pyfunc")
    except ImportError as error:
        raise RuntimeError(
            "An MLflow model is served by mlflow, which this Python does not have: "
            "pip install mlflow-skinny, or deploy it with a scoring script."
        ) from error
    found = sorted(Path(os.environ["AZUREML_MODEL_DIR"]).rglob("MLmodel"))
    if not found:
        raise RuntimeError("The model has no MLmodel file, so it is no MLflow model.")
    MODEL = pyfunc.load_model(str(found[0].parent))


def run(raw: str) -> Any:  # noqa: ANN401 (what the server turns into JSON)
    """The predictions as a list; 400 for what is no input."""
    try:
        given = table(json.loads(raw)["input_data"])
    except (ValueError, KeyError, TypeError) as error:
        return AMLResponse(f"The request must be JSON with input_data: {error!r}", 400)
    return plain(MODEL.predict(given))


def table(given: Any) -> Any:  # noqa: ANN401 (whatever the model's signature asks for)
    """What pyfunc takes: a data frame, or arrays by name. Raises ValueError, TypeError."""
    if isinstance(given, dict) and "data" in given:
        return pd.DataFrame(given["data"], index=given.get("index"), columns=given.get("columns"))
    if isinstance(given, dict):
        return {name: np.asarray(values) for name, values in given.items()}
    if not isinstance(given, list):
        raise TypeError("input_data is neither an object nor a list")
    return pd.DataFrame(given)


def plain(predicted: Any) -> Any:  # noqa: ANN401 (whatever the model gives)
    if isinstance(predicted, pd.DataFrame):
        return predicted.to_dict(orient="records")
    return predicted.tolist() if hasattr(predicted, "tolist") else predicted
