"""What forks do in test_edge_forks.py: the text of a request says what."""

from __future__ import annotations

import errno
import json
import os
import signal
import sys
import time
from pathlib import Path


def work(request: str) -> None:
    """Says who it is into a file, and ends as it was told."""
    what, place = json.loads(request)
    mine = Path(place)
    facts = {
        "pid": os.getpid(),
        "parent": os.getppid(),
        "tensorflow": "tensorflow" in sys.modules,
        "threads": os.environ["TF_NUM_INTRAOP_THREADS"],
        "stdin": sys.stdin.read(),
    }
    mine.with_suffix(".part").write_text(json.dumps(facts))
    mine.with_suffix(".part").rename(mine)
    print(f"work: {what}")
    if what == "meet":
        while len(list(mine.parent.glob("meet*.answer"))) < 2:
            time.sleep(0.01)
    elif what == "raise":
        raise ValueError("no such thing")
    elif what == "full":
        raise OSError(errno.ENOSPC, "no space left")
    elif what == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    elif what == "sleep":
        time.sleep(600)
