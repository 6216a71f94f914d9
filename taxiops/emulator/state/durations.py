"""ISO 8601 durations as Azure's clients send them; pure."""

import re

ISO_8601 = re.compile(
    r"P(?=.)(?:(?P<days>\d+(?:\.\d+)?)D)?"
    r"(?:T(?=.)(?:(?P<hours>\d+(?:\.\d+)?)H)?(?:(?P<minutes>\d+(?:\.\d+)?)M)?"
    r"(?:(?P<seconds>\d+(?:\.\d+)?)S)?)?"
)
UNIT_S = {"days": 86400.0, "hours": 3600.0, "minutes": 60.0, "seconds": 1.0}


def duration_s(text: object) -> float | None:
    """Seconds of a duration such as PT5S, PT0.3S or P1DT2H; None for anything else."""
    match = ISO_8601.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        return None
    return sum(float(match[unit] or 0) * size for unit, size in UNIT_S.items())
