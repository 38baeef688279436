"""When a command line needs a shell, and what is executed when it does not."""

from __future__ import annotations

import shlex
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rose.engine.processes.shell import needs_shell, split
from rose.errors import ConfigurationError


@pytest.mark.parametrize(
    "line",
    [
        "python train.py --model mlp --iteration 3",
        "python -c 'import sys; print(1 > 0, \"$x\")'",
        'python -c "print(1); print(2 | 3)"',
        "echo a\\;b",
        "echo a#b x=y",
        "echo 100% +1 @file {a}",
    ],
)
def test_plain_lines_are_executed_without_a_shell(line: str) -> None:
    assert not needs_shell(line)
    assert split(line) == shlex.split(line)


@pytest.mark.parametrize(
    "line",
    [
        "a | b", "a > f", "a < f", "a && b", "a; b", "a &", "echo $HOME", 'echo "$HOME"', 'echo "`date`"',
        "echo `date`", "ls *.py", "ls ?.py", "ls [ab].py", "cd /tmp", "A=1 python x.py", "exit 3", "(true)", "echo ~",
        "ls ~/x",         "true # comment", "a\nb", "! true", "export A=1", "{ true; }", "if true; then false; fi",
    ],
)  # fmt: skip
def test_shell_syntax_gets_a_shell(line: str) -> None:
    assert split(line) == ["/bin/sh", "-c", line]


@given(st.text(st.sampled_from("ab '\"\\\t-=./:,+%@^"), min_size=1))
def test_without_a_shell_the_words_are_those_of_a_shell(text: str) -> None:
    line = "printf '<%s>' " + text
    if needs_shell(line):
        return
    try:
        words = split(line)
    except ConfigurationError:  # half a quotation: the shell refuses it too
        return
    shell = subprocess.run(["/bin/sh", "-c", line], capture_output=True, text=True, check=True)
    ours = subprocess.run(words, capture_output=True, text=True, check=True)
    assert ours.stdout == shell.stdout
