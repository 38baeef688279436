"""Run the `rose` command that compares ways to choose: compare."""

from __future__ import annotations

import argparse
import json
import math
from typing import TYPE_CHECKING, Any

from rose.cli._arguments import add_command, add_json, as_path, as_text, positive
from rose.errors import ConfigurationError

if TYPE_CHECKING:
    from rose.cli._arguments import Commands


def add_compare_command(commands: Commands) -> None:
    """Add the command to the parser."""
    parser = add_command(
        commands,
        "compare",
        _compare,
        "compare ways to choose, on a script's learner",
        "Compare acquisitions by seeds in one run, on the learner that a Python script defines: a variable `learner`, "
        "or a function of that name which returns one. What is under `if __name__ == '__main__'` is not run.",
        (
            "digits.py diverse top_k --seeds 5 --max-iter 10 --run-dir runs/compared",
            "digits.py --budget 200 --picture digits.png --json",
        ),
        {1: "it could not be done, or a workflow failed; what was wrong is on stderr"},
    )
    parser.add_argument("script", type=as_path, metavar="SCRIPT", help="a Python file")
    parser.add_argument(
        "acquisitions", type=as_text, metavar="NAME", nargs="*", help="acquisitions (default: the learner's own)"
    )
    parser.add_argument("--learner", type=as_text, metavar="NAME", default="learner", help="what the script calls it")
    parser.add_argument("--control", type=as_text, metavar="NAME", default="random", help="default: random")
    parser.add_argument("--seeds", type=positive, metavar="N", default=5, help="how many (default: 5)")
    parser.add_argument("--metric", type=as_text, metavar="NAME", help="of the hold-out, e.g. model_accuracy")
    parser.add_argument("--models", type=as_text, metavar="NAME", action="append", help="a member; may be repeated")
    parser.add_argument("--passes", type=positive, metavar="N", default=1, help="stochastic passes of each member")
    parser.add_argument("--max-iter", type=positive, metavar="N", default=0, help="iterations of each workflow")
    parser.add_argument("--budget", type=positive, metavar="N", help="labels of each workflow")
    parser.add_argument("--run-dir", type=as_path, metavar="DIR", help="where the run is kept, and resumed")
    parser.add_argument("--picture", type=as_path, metavar="FILE", help="also draw the curves (.png, .svg, .pdf)")
    add_json(parser)


def _compare(arguments: argparse.Namespace) -> int:
    from rose.cli._script import learner_of, load_script
    from rose.comparison import compare
    from rose.watch import progress
    from rose.watch.terminal import clean

    if not arguments.max_iter and arguments.budget is None:  # said before the script runs, which may take long
        raise ConfigurationError("compare needs to know where the curves end: give --max-iter or --budget")
    learner = learner_of(load_script(arguments.script), arguments.learner)
    with progress():
        found = compare(
            learner,
            arguments.acquisitions or None,
            seeds=arguments.seeds,
            metric=arguments.metric,
            control=arguments.control,
            model_names=arguments.models,
            num_predictions=arguments.passes,
            max_iter=arguments.max_iter,
            budget=arguments.budget,
            run_dir=arguments.run_dir,
        )
    if arguments.picture is not None:
        found.picture(arguments.picture)
    if arguments.json:
        print(json.dumps(_plain(found.to_dict()), indent=1))
    else:
        print("\n".join(clean(line) for line in str(found).splitlines()))
    return 0


def _plain(value: Any) -> Any:
    """Return a value without NaN, which JSON does not have."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, list) else value
