"""Other Pythons on this machine that have what ROSE needs, for tests of what one writes and another reads."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@functools.cache
def python(version: str) -> str:
    """The interpreter of that version: of CI's environment `.venv-3.x`, $ROSE_PYTHONS (a path list), pyenv's, or on
    PATH; where there is none with ROSE's packages the test is skipped, and says so."""
    named = [Path(one) for one in os.environ.get("ROSE_PYTHONS", "").split(os.pathsep) if one]
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    places = [ROOT / f".venv-{version}/bin/python", *named, *sorted(pyenv.glob(f"versions/{version}.*/bin/python"))]
    on_path = shutil.which(f"python{version}")
    for place in [*map(str, places), *([on_path] if on_path else [])]:
        if not Path(place).exists():
            continue
        code = "import sys, numpy, cloudpickle, psutil; print('%d.%d' % sys.version_info[:2])"
        tried = subprocess.run([place, "-c", code], capture_output=True, text=True, check=False)
        if tried.stdout.strip() == version:
            return place
    pytest.skip(f"no Python {version} with numpy, cloudpickle and psutil (.venv-{version}, $ROSE_PYTHONS, pyenv, PATH)")
