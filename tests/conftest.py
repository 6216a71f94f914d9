"""What holds for every test: property tests draw the same examples in every run.

HYPOTHESIS_PROFILE=search draws new ones, and more of them.
"""

import os

from hypothesis import settings

settings.register_profile("same", derandomize=True, deadline=None)
settings.register_profile("search", max_examples=5000, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))
