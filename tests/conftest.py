"""What holds for every test: property tests draw the same examples in every run.

HYPOTHESIS_PROFILE=search draws new ones, and more of them.
"""

import os
import signal
from pathlib import Path

import pytest
from hypothesis import settings

from taxiops.workflows.clean_up_models import CI_VARIABLES

settings.register_profile("same", derandomize=True, deadline=None)
settings.register_profile("search", max_examples=5000, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))

# A shell starts what runs in its background deaf to Ctrl-C, and tests send it to their processes.
signal.signal(signal.SIGINT, signal.default_int_handler)

# What runs here must not depend on where: a test that is about a CI runner says so itself.
for name in CI_VARIABLES:
    os.environ.pop(name, None)

# Files whose tests share an emulator that took long to fill, the longest first: several processes
# then end at about the same time.
LONGEST = (
    "github/test_ci.py",
    "stories/",
    "workflows/test_job_rollouts.py",
    "github/test_broken_steps.py",
    "github/test_release.py",
    "workflows/test_turns.py",
    "workflows/",
    "emulator/",
    "cli/test_emulator_command.py",
    "cloud/",
)


def place_of(item: pytest.Item) -> int:
    """The place of the test's file among the longest; behind all of them when it is short."""
    path = item.path.relative_to(Path(__file__).parent).as_posix()
    places = (place for place, name in enumerate(LONGEST) if path.startswith(name))
    return next(places, len(LONGEST))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=place_of)
