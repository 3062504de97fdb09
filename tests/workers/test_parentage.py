"""What prctl promises, in processes of their own."""

from __future__ import annotations

import subprocess
import sys


def run(program: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-c", "import os\nfrom gateway.workers.parentage import *\n" + program],
        capture_output=True,
        timeout=20,
        text=True,
        check=False,
    )
    assert not done.stderr
    return done.returncode, done.stdout.strip()


def test_a_name_is_what_ps_shows() -> None:
    assert run("name_process('gateway-zygote-and-more')\nprint(open('/proc/self/comm').read())") == (
        0,
        "gateway-zygote-",
    )


def test_a_child_of_the_dead_does_not_begin() -> None:
    assert run("die_with_parent(os.getppid() + 1)\nprint('still here')") == (1, "")
    assert run("die_with_parent(os.getppid())\noutlive_parent()\nprint('still here')") == (0, "still here")


def test_a_child_ends_with_its_parent_and_orphans_come_to_us() -> None:
    program = """
adopt_orphans()
reading, writing = os.pipe()
if (parent := os.fork()) == 0:
    parent = os.getpid()
    if (child := os.fork()) == 0:
        die_with_parent(parent)
        os.write(writing, b'ready')
        os.read(os.pipe()[0], 1)
    os.read(reading, 5)
    os.write(writing, str(child).encode())
    os._exit(0)
os.waitpid(parent, 0)
child = int(os.read(reading, 20))
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    assert run(program) == (0, "-9")
