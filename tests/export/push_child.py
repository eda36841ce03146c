"""Pushes a bundle, each time killed some steps later: BUNDLE PLACE folder|objects STRIDE.

Every push is a fork of this process, which has TensorFlow imported and has not used it. After a
kill the target is held against the promise, and the push is repeated; a line of JSON says what
came.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "dualtower"))

import tensorflow as tf
from file_events import watch

from dualtower.bundle import Bundle
from dualtower.push_parts import Part, parts_of
from dualtower_export.push import push_bundle


def main() -> None:
    """Ends with the first push that finishes before it is killed."""
    bundle, place, way = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
    in_place = way == "objects"
    for step in itertools.count(1, int(sys.argv[4])):
        target = place / str(step) / "target"
        target.parent.mkdir(parents=True)
        killed = _fork(bundle, target, in_place, kill_at=step)
        parts = parts_of(Bundle.open(bundle), str(target))
        broken = _broken_promises(target, parts, in_place)
        visible = [part.place for part in parts if _is_visible(target, part, in_place)]
        report = Path(place, f"{step}.json")
        assert not _fork(bundle, target, in_place, report=report)
        print(json.dumps({
            "killed": killed,
            "broken": broken,
            "visible": len(visible),
            "kept": json.loads(report.read_text(encoding="utf-8")),
            "whole": all(_is_whole(target, part) for part in parts),
            "left": sorted(path.name for path in target.iterdir()),
        }))  # fmt: skip
        if not killed:
            return


def _fork(
    bundle: Path, target: Path, in_place: bool, *, kill_at: int = 0, report: Path | None = None
) -> bool:
    """Whether the push was killed."""
    if pid := os.fork():
        _, status = os.waitpid(pid, 0)
        if os.WIFSIGNALED(status):
            assert os.WTERMSIG(status) == signal.SIGKILL
            return True
        assert os.WEXITSTATUS(status) == 0
        return False
    code = 1
    try:
        happen = watch(target, kill_at=kill_at)
        _watch_tensorflow(happen)
        done = push_bundle(bundle, str(target), in_place=in_place)
        if report is not None:
            report.write_text(json.dumps(len(done.kept)), encoding="utf-8")
        code = 0
    finally:
        os._exit(code)


def _watch_tensorflow(happen) -> None:
    """TensorFlow writes from C++: each file it begins and each block of it is a step.

    Not the blocks of saved_model.pb, since an object of a store is there whole or not at all.
    """
    opened = tf.io.gfile.GFile

    class Watched(opened):
        def write(self, block: bytes) -> None:
            if not self.name.endswith(".pb"):
                happen("write", self.name)
                super().write(block[:1])
                self.flush()
                happen("write", self.name)
                block = block[1:]
            super().write(block)

    def watched(path: str, mode: str) -> object:
        if "w" not in mode:
            return opened(path, mode)
        happen("open", path)
        return Watched(path, mode)

    tf.io.gfile.GFile = watched


def _broken_promises(target: Path, parts: list[Part], in_place: bool) -> list[str]:
    broken = []
    visible = [_is_visible(target, part, in_place) for part in parts]
    for place, part in enumerate(parts):
        if not visible[place]:
            continue
        if not _is_whole(target, part):
            broken.append(f"{part.place} is visible and not whole")
        earlier = parts if in_place else parts[:place]
        for one in earlier:
            if not _is_whole(target, one, but_last=in_place):
                broken.append(f"{part.place} is visible before {one.place} is whole")
        broken += [
            f"{part.place} before {parts[n].place}" for n in range(1, place) if not visible[n]
        ]
    return broken


def _is_visible(target: Path, part: Part, in_place: bool) -> bool:
    """Whether a server could load it: a folder that has its name, or a saved_model.pb."""
    if not in_place:
        return (target / part.place).exists()
    return bool(part.last) and (target / part.place / part.last).exists()


def _is_whole(target: Path, part: Part, *, but_last: bool = False) -> bool:
    for name, file in part.files.items():
        path = target / part.place / name
        if but_last and name == part.last:
            continue
        if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != file.sha256:
            return False
    return True


if __name__ == "__main__":
    main()
