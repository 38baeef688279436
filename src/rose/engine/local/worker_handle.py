"""Hold one worker process as the driver sees it: its socket, what it was sent, and how it is ended."""

from __future__ import annotations

import asyncio
import json
import os
import pickle
import shutil
import signal
import socket
import sys
import tempfile
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future

from rose.engine.deadline import Deadline
from rose.engine.local.interpreter import Interpreter, flags
from rose.engine.local.worker_protocol import BROKEN, REPLY, TASK, socket_pair
from rose.engine.processes.process import Child, worker_name
from rose.engine.processes.scratch import Scratch
from rose.engine.processes.thread_limits import environment
from rose.engine.protocol import OnStart, Task
from rose.engine.shipping.serialization import Packed
from rose.engine.slots import SlotRequest
from rose.errors import TaskError

# What a worker runs first: it finds the driver's modules, then serves. Nothing of the user's main module is run.
# If it cannot, it says why, in the form of `pack_failure`.
_BOOT = f"""
import json, sys
fd, folder, path = json.loads(sys.argv[1])
sys.path[:] = path
try:
    from rose.engine.local.worker import main
except BaseException as error:
    import pickle, socket, struct, traceback
    said = f"{{type(error).__name__}}: {{error}}", traceback.format_exc()[-12000:], b"", True
    socket.socket(fileno=fd).send(struct.pack({REPLY.format!r}, 0, 0.0, {BROKEN}) + pickle.dumps(said))
    raise
main(fd, folder, path)
"""


class FunctionRequest(SlotRequest):
    """Hold a function task on its way: `future` ends with its result."""

    __slots__ = (
        *("deadline", "error", "future", "holds", "kills", "message"),
        *("number", "on_start", "packed", "worker", "written"),
    )

    def __init__(
        self,
        task: Task,
        start: Callable[[FunctionRequest], None],
        future: asyncio.Future[object],
        number: int,
        on_start: OnStart | None,
    ) -> None:
        super().__init__(task, start)
        self.on_start = on_start
        self.future = future
        self.number = number
        self.packed: Packed | None = None
        self.holds: object = None  # what its message refers to
        self.message = b""  # what a worker is sent; kept, since it may have to be sent to another one
        self.written: asyncio.Future[None] | None = None  # its files are being written
        self.worker: WorkerHandle | None = None  # where it was sent
        self.deadline: Deadline | None = None
        self.error: Exception | None = None  # why its worker is being killed
        self.kills = 0  # of the out-of-memory killer, before it began

    def fail(self, error: Exception) -> None:
        """End with an error, unless the caller has gone."""
        if not self.future.done():
            self.future.set_exception(error)


class WorkerHandle:
    """Hold a worker process, starting, idle or busy. Its inbox is the kernel's: what it has not read can come back."""

    def __init__(self, scratch: Scratch, gpus: str | None, interpreter: Interpreter) -> None:
        self.broken: TaskError | None = None  # why it could not begin to serve
        self.gpus = gpus  # its CUDA_VISIBLE_DEVICES; None: left alone
        self.requests: deque[FunctionRequest] = deque()  # the first one runs, the others wait in the inbox
        self.ready = False  # it has said that it serves
        self.killed = False
        self.reserved = False  # it waits for the files of a request that it will be sent
        self.ended: list[asyncio.Future[None]] = []  # those who wait for its end
        self.since = 0.0  # when the running request began (loop time)
        self.last_seconds = 1.0  # how long the last request ran
        self.child: Child | None = None
        self.name = ""  # of its process, when it has been started
        self.starting: Future[None]  # until `start` has ended
        self._scratch = scratch
        self._interpreter = interpreter
        self._marker = scratch.new_marker()
        self.folder = os.path.join(scratch.folder, f"worker-{self._marker.removeprefix(scratch.prefix)}")
        self.driver_end, self._worker_end = socket_pair()
        # Both are the driver's: the second one only to take messages back.
        self.driver_end.setblocking(False)

    def start(self) -> None:
        """Start the process. Blocks for milliseconds: not in the event loop. What was sent before is not lost."""
        self._scratch.ensure_reaper()
        fd = self._worker_end.fileno()
        path = [str(entry) or os.getcwd() for entry in sys.path]
        env = os.environ | environment(1) | {self._marker: "1"}
        if self.gpus is not None:
            env["CUDA_VISIBLE_DEVICES"] = self.gpus
        argv = [sys.executable, *flags(), "-P", "-c", _BOOT, json.dumps([fd, self.folder, path])]
        with tempfile.TemporaryFile(dir=self._scratch.folder) as settings:
            settings.write(pickle.dumps(self._interpreter))
            settings.seek(0)
            self.child = Child(argv, env=env, pass_fds=(fd,), stdin=settings)
        self.name = worker_name(self.child.pid)
        self._scratch.adopt(self.child)

    @property
    def is_free(self) -> bool:
        """Return whether it may be sent a request (starting or not)."""
        return not (self.requests or self.reserved or self.killed)

    def send(self, request: FunctionRequest) -> bool:
        """Put a request into the inbox; False if that is full."""
        try:
            self.driver_end.send(request.message)
        except BlockingIOError:
            return False
        request.worker = self
        self.requests.append(request)
        return True

    def take_back(self) -> list[FunctionRequest]:
        """Empty the inbox and return the jobs, in order, that the worker has not begun and never will."""
        numbers = set()
        while self._worker_end.fileno() >= 0:  # else its sockets are closed: it is gone, with all that it was sent
            try:
                message = self._worker_end.recv(TASK.size, socket.MSG_DONTWAIT)
            except BlockingIOError:
                break
            numbers.add(TASK.unpack(message)[0])
        taken = [request for request in self.requests if request.number in numbers]
        for request in taken:
            self.requests.remove(request)
            request.worker = request.error = None
            if request.deadline is not None:
                request.deadline.cancel()
        return taken

    def kill(self) -> None:
        """End the process and all that it started, also what left its group."""
        self.killed = True
        if self.child is not None:  # else it is just being started, and killed as soon as it is
            self.child.signal_group(signal.SIGKILL)
            self._scratch.kill_marked(self._marker)

    def bury(self) -> int:
        """Free all it held, after its end, and return its exit code."""
        assert self.child is not None
        code = self._scratch.reap(self.child)
        self._scratch.kill_marked(self._marker)
        self.close_sockets()
        return code

    def tell_ended(self) -> None:
        """Wake those who wait for its end."""
        for waiter in self.ended:
            if not waiter.done():
                waiter.set_result(None)

    def remove_folder(self) -> None:
        """Remove the results it wrote that nobody took. Blocks."""
        if os.path.exists(self.folder):
            shutil.rmtree(self.folder)

    def close_sockets(self) -> None:
        """Close both ends."""
        self.driver_end.close()
        self._worker_end.close()
