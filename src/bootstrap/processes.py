"""Several serving processes behind one socket. The first one also checks due orders."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from types import FrameType

_CHILD = """
import socket, sys
from bootstrap import service
from bootstrap.container import Container
from bootstrap.running import run
from bootstrap.settings import read_settings
sock = socket.socket(fileno=int(sys.argv[1]))
sock.setblocking(False)
run(service.serve(Container(settings=read_settings()), sock, with_worker=sys.argv[2] == "worker"))
"""


def serve_in_processes(sock: socket.socket, count: int, *, with_worker: bool) -> int:
    """Run ``count`` processes on ``sock`` until a signal comes or one of them dies; end the others; the exit code."""
    os.set_inheritable(sock.fileno(), True)
    children = [_start(sock, works=with_worker and number == 0) for number in range(count)]
    told = False

    def stop(_number: int = 0, _frame: FrameType | None = None) -> None:
        nonlocal told
        told = True
        for child in children:
            child.terminate()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT)
    died = not told
    stop()
    codes = []
    for child in children:
        with suppress(KeyboardInterrupt):
            codes.append(child.wait())
    return 1 if died else max(codes, default=0)


def _start(sock: socket.socket, *, works: bool) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", _CHILD, str(sock.fileno()), "worker" if works else "no-worker"]
    return subprocess.Popen(command, pass_fds=[sock.fileno()])  # noqa: S603 - this very program
