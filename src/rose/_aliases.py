"""Give packages of ROSE's a second, shorter name: `rose.al.active_learner is rose.active_learning.active_learner`."""

import pkgutil
import sys
from importlib import import_module


def alias(short: str, name: str) -> None:
    """Make a package and all modules in it known by another name, too; it takes the place of who calls this."""
    package = import_module(name)
    for found in pkgutil.iter_modules(package.__path__):
        sys.modules[f"{short}.{found.name}"] = import_module(f"{name}.{found.name}")
    sys.modules[short] = package
