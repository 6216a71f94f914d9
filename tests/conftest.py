"""What holds for every test: property tests draw the same examples in every run.

HYPOTHESIS_PROFILE=search draws new ones, and more of them.
"""

import os
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("same", derandomize=True, deadline=None)
settings.register_profile("search", max_examples=5000, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))

# Tests that share an emulator which took long to fill, the longest first: each group stays in one
# process when there are several, and begins before the many small ones.
GROUPS = (
    "github/test_ci.py",
    "github/test_release.py",
    "workflows",
    "stories/test_runbook.py",
    "stories/test_demo_story.py",
    "github/test_broken_steps.py",
    "emulator",
    "cloud",
)


def group_of(item: pytest.Item) -> int:
    """The place of the test's group; behind all of them when it has none."""
    path = item.path.relative_to(Path(__file__).parent).as_posix()
    for place, group in enumerate(GROUPS):
        if any(path == name or path.startswith(f"{name}/") for name in group.split()):
            return place
    return len(GROUPS)


# Before xdist reads the groups.
@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        place = group_of(item)
        if place < len(GROUPS):
            item.add_marker(pytest.mark.xdist_group(str(place)))
    items.sort(key=group_of)
