"""The naive fare model that a first candidate must beat: an initial charge and a price a mile."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from taxiops.domain.evidence import digest_of_json
from taxiops.errors import UsageError
from taxiops.steps.columns import FARE, Columns

FEATURES = ("trip_distance_miles",)
NAME = "initial charge plus price per mile"


@dataclass(frozen=True)
class NaiveFare:
    """fare = initial_usd + per_mile_usd * miles, for a matrix whose only column is the miles."""

    initial_usd: float
    per_mile_usd: float
    rows: int

    def predict(self, matrix: NDArray[Any]) -> NDArray[np.float64]:
        fares: NDArray[np.float64] = self.initial_usd + self.per_mile_usd * matrix[:, 0]
        return fares

    def metadata(self) -> dict[str, Any]:
        return {
            "schema_version": 1,
            "kind": "naive",
            "features": list(FEATURES),
            "params": {"initial_usd": self.initial_usd, "per_mile_usd": self.per_mile_usd},
            "training": {"rows": self.rows},
        }

    def sha256(self) -> str:
        """Digest of the canonical JSON of its metadata."""
        return digest_of_json(self.metadata())


def fit_naive(batches: Iterable[Columns]) -> NaiveFare:
    """Least squares over the training trips in one pass, rounded to a hundredth of a cent.

    It is fitted, not read from the tariff, so that it knows the prices of the years at hand.
    Miles and fares are summed as whole thousandths and cents: exact in any order.
    """
    rows, miles, fares, squares, products = 0, 0, 0, 0, 0
    for batch in batches:
        x = np.rint(batch["trip_distance_miles"] * 1e3).astype(np.int64)
        y = np.rint(batch[FARE] * 100).astype(np.int64)
        rows += len(x)
        miles += int(x.sum())
        fares += int(y.sum())
        squares += int((x * x).sum())
        products += int((x * y).sum())
    spread = rows * squares - miles * miles
    if rows == 0 or spread == 0:
        raise UsageError(
            "training trips: no two trips differ in distance, so no price per mile can be found.",
            hint="Give more trips.",
            code="data-too-few",
        )
    per_mile = (rows * products - miles * fares) / spread * 10
    initial = (fares / 100 - per_mile * miles / 1e3) / rows
    return NaiveFare(round(initial, 4), round(per_mile, 4), rows)
