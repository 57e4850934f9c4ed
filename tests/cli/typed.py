"""What the tests of the command line share: small networks, and what a command answered."""

import json
from pathlib import Path

ROOT = Path(__file__).parents[2]
TINY = ["--set", "network.filters=4", "--set", "patch=[16,16,16]",
        "--set", "network.strides=[[2,2,2]]", "--device", "cpu"]  # fmt: skip


class Answer:
    def __init__(self, status, out, error):
        self.status, self.out, self.error = status, out, error

    @property
    def data(self):
        """The one JSON object on standard output."""
        return json.loads(self.out)

    def assert_refused(self, *words):
        assert self.status == 1, self.error
        assert "Traceback" not in self.error
        lines = [line for line in self.error.splitlines() if line.startswith("Error: ")]
        assert len(lines) == 1, self.error
        for word in words:
            assert word in lines[0]
