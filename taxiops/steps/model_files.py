"""Model folders: writing one so that equal models have equal bytes, loading one without trust."""

import hashlib
import json
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from zipfile import BadZipFile, ZipFile

import numpy as np
import skops.io
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingRegressor

from taxiops.domain.evidence import digest_of_files
from taxiops.errors import UsageError
from taxiops.steps.features import check_features
from taxiops.steps.frozen_zip import frozen

MODEL_NAME, METADATA_NAME = "model.skops", "metadata.json"
GOLDEN_NAME, LABELLED_NAME = "golden.json", "labelled.json"
KIND = "gradient_boosting"
LARGEST_MODEL_BYTES = 1024**3
DEPTH_OF_SEARCH = 4

# Everything a gradient boosting model of ours is made of; a file that names anything else is
# refused before anything in it is built.
TRUSTED = frozenset(
    {
        "builtins.dict",
        "builtins.list",
        "builtins.str",
        "builtins.tuple",
        "numpy.ndarray",
        "numpy.uint64",
        "numpy.random._generator.Generator",
        "sklearn._loss._loss.CyHalfSquaredError",
        "sklearn._loss.link.IdentityLink",
        "sklearn._loss.link.Interval",
        "sklearn._loss.loss.HalfSquaredError",
        "sklearn.ensemble._hist_gradient_boosting.binning._BinMapper",
        "sklearn.ensemble._hist_gradient_boosting.gradient_boosting.HistGradientBoostingRegressor",
        "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    }
)


class Predictor(Protocol):
    """Anything that turns a feature matrix into fares in USD."""

    def predict(self, matrix: NDArray[Any]) -> NDArray[np.float64]: ...


@dataclass(frozen=True)
class Model:
    """A fare model with what is known of it. `sha256` is the digest of all its files."""

    predictor: Predictor
    features: tuple[str, ...]
    metadata: dict[str, Any]
    sha256: str

    def predict(self, matrix: NDArray[Any]) -> NDArray[np.float64]:
        """Fares in USD for a matrix of this model's features."""
        return self.predictor.predict(matrix)


def digest_of_folder(folder: Path) -> str:
    """The model's digest: over path and SHA-256 of every file in the folder."""
    entries = []
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            entries.append((path.relative_to(folder).as_posix(), digest))
    return digest_of_files(entries)


def find_model_folder(root: Path) -> Path:
    """The folder that holds metadata.json: `root` or the only such folder below it.

    Raises UsageError when there is none or more than one.
    """
    depths = ("*/" * depth + METADATA_NAME for depth in range(DEPTH_OF_SEARCH))
    found = sorted({path.parent for pattern in depths for path in root.glob(pattern)})
    if len(found) != 1:
        count = "no" if not found else "more than one"
        raise UsageError(
            f"{root}: {count} {METADATA_NAME} there, so it is no model folder.",
            hint="Give the folder that the train step wrote.",
            code="model-not-found",
        )
    return found[0]


def write_json(path: Path, document: dict[str, Any]) -> None:
    """Canonical enough that equal documents are equal bytes."""
    text = json.dumps(document, indent=1, sort_keys=True, allow_nan=False) + "\n"
    path.write_text(text, encoding="utf-8")


def write_estimator(folder: Path, estimator: HistGradientBoostingRegressor) -> None:
    """model.skops in the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MODEL_NAME).write_bytes(frozen(skops.io.dumps(estimator)))


def load_model(root: Path) -> Model:
    """The model in a folder that train wrote, or in the only such folder below.

    Nothing is unpickled. Raises UsageError naming the file when it is broken, holds a type that is
    not trusted, or does not fit its metadata.
    """
    folder = find_model_folder(root)
    metadata = read_json(folder / METADATA_NAME)
    features = metadata.get("features")
    if metadata.get("kind") != KIND or not isinstance(features, list):
        raise broken(folder / METADATA_NAME, f"kind is {metadata.get('kind')!r}, not {KIND!r}")
    check_features(features, str(folder / METADATA_NAME))
    estimator = load_estimator(folder / MODEL_NAME, features)
    return Model(estimator, tuple(features), metadata, digest_of_folder(folder))


def load_estimator(path: Path, features: Sequence[str]) -> HistGradientBoostingRegressor:
    try:
        check_types(path)
        with warnings.catch_warnings():
            warnings.simplefilter("default")
            estimator = skops.io.load(path, trusted=sorted(TRUSTED))
    except UsageError:
        raise
    # Whatever a crafted file makes the library raise, the file is what is wrong.
    except Exception as error:
        raise broken(path, f"{type(error).__name__}: {error}") from error
    if type(estimator) is not HistGradientBoostingRegressor:
        raise broken(path, f"it holds {type(estimator).__name__}, not a gradient boosting model")
    if getattr(estimator, "n_features_in_", None) != len(features):
        raise broken(path, "its number of features differs from metadata.json")
    return estimator


def check_types(path: Path) -> None:
    """Raises UsageError when the file is no plausible skops file or names a type not trusted."""
    try:
        with ZipFile(path) as archive:
            if sum(info.file_size for info in archive.infolist()) > LARGEST_MODEL_BYTES:
                raise broken(path, "it is larger than any model of ours")
            schema = json.loads(archive.read("schema.json"))
    except (OSError, BadZipFile, KeyError, ValueError, RecursionError) as error:
        raise broken(path, f"no complete skops file ({type(error).__name__})") from error
    refused = sorted(types_in(schema) - TRUSTED)
    if refused:
        raise UsageError(
            f"{path}: holds a type that is not trusted: {refused[0]}.",
            why="A model file could run code of its author when it is loaded.",
            hint="Use a model that the train step wrote.",
            code="model-untrusted",
        )


def types_in(schema: object) -> set[str]:
    """Every type a skops schema names, anywhere in it."""
    found: set[str] = set()
    left: list[object] = [schema]
    while left:
        node = left.pop()
        if isinstance(node, dict):
            if "__class__" in node or "__module__" in node:
                found.add(f"{node.get('__module__')}.{node.get('__class__')}")
            left.extend(node.values())
        elif isinstance(node, list):
            left.extend(node)
    return found


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file of the model folder; raises UsageError when it is none."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise broken(path, f"no JSON ({type(error).__name__})") from error
    if not isinstance(document, dict) or document.get("schema_version") != 1:
        raise broken(path, "schema_version must be 1")
    return document


def broken(path: Path, why: str) -> UsageError:
    return UsageError(
        f"{path}: not a usable model file: {' '.join(why.split())[:300]}.",
        hint="Use a model that the train step wrote.",
        code="model-broken",
    )
