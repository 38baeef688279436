"""Be the main module of a process that a task spawns with multiprocessing: the task's names, not the script.

`multiprocessing` runs there, as a module, what the parent's `__main__` names as its spec; for a worker's, that is this.
"""

from __future__ import annotations

import sys

from rose.engine.shipping.main_module import enter_again

if __name__ == "__mp_main__":
    enter_again()
    globals().update({name: value for name, value in sys.modules["__main__"].__dict__.items() if name != "__name__"})
