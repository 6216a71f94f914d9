"""The gate's policy, [tool.taxiops.gate]: what a candidate must show; decides nothing."""

import dataclasses
import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from taxiops.domain.evidence import digest_of_json
from taxiops.domain.fields import Fields, shown
from taxiops.errors import UsageError

LOWER, HIGHER = "lower_is_better", "higher_is_better"
DIRECTIONS = {"mae": LOWER, "rmse": LOWER, "r2": HIGHER, "mape": LOWER}


@dataclass(frozen=True)
class Policy:
    """What the candidate must show to pass.

    primary_metric: the one that decides. min_relative_improvement: least gain, as a part of the
    baseline's figure (0.01 is one percent). confidence: of every interval.
    """

    primary_metric: str = "mae"
    min_relative_improvement: float = 0.01
    confidence: float = 0.95

    def document(self) -> dict[str, Any]:
        """The policy as comparison.json holds it, every default written out."""
        return dataclasses.asdict(self)

    def sha256(self) -> str:
        """The digest of the canonical policy: equal for equal policies, defaults or not."""
        return digest_of_json(self.document())


def parse_policy(table: Mapping[str, Any], where: str = "[tool.taxiops.gate]") -> Policy:
    """The table as a policy, defaults for what it leaves out.

    Raises UsageError naming the key: unknown (with a suggestion), of the wrong kind or out of
    range.
    """
    return read_policy(Fields({**Policy().document(), **table}, where, UsageError))


def read_policy(fields: Fields) -> Policy:
    """A policy with every key written out; raises the error of `fields` as parse_policy does."""
    known = list(Policy().document())
    for name in fields.document:
        if name not in known:
            close = difflib.get_close_matches(str(name), known, n=1)
            hint = f"Did you mean {close[0]!r}?" if close else f"Known keys: {', '.join(known)}."
            raise fields.error(
                f"{fields.what}: {fields.path_of(shown(name))}: unknown key.",
                hint=hint,
                code="config-unknown-key",
            )
    confidence = fields.number("confidence", 0.5, 1)
    if confidence == 1:
        fields.refuse("confidence", "is 1, but no interval is certain")
    return Policy(
        primary_metric=fields.choice("primary_metric", tuple(DIRECTIONS)),
        min_relative_improvement=fields.number("min_relative_improvement", 0, 1),
        confidence=confidence,
    )
