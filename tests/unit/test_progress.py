"""Progress in a log file: whole lines with the time left, not a bar that overwrites itself."""

import re
import time

from xmodbench.progress import Progress


def test_lines_with_time_left(capsys):
    progress = Progress(every_s=0.01)
    assert [item for item in progress.track(slow(range(3, 6)), "train", total=6, start=3)] == [3, 4, 5]
    lines = capsys.readouterr().err.splitlines()
    assert "\r" not in "".join(lines)
    assert re.match(r"\[\d\d:\d\d:\d\d\] train:  67%.* 4/6 \[00:00<00:0\d", lines[0])
    assert " 6/6 " in lines[-1]


def test_quiet_says_nothing(capsys):
    progress = Progress(every_s=0, quiet=True)
    assert list(progress.track(range(3), "x", total=3)) == [0, 1, 2]
    progress.say("hello")
    assert capsys.readouterr().err == ""


def slow(items):
    for item in items:
        time.sleep(0.02)
        yield item
