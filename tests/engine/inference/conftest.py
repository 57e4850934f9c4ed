"""One thread: on busy machines several wait for each other, and sums depend on their number."""

import pytest


@pytest.fixture(autouse=True)
def _one_thread(one_thread):
    pass
