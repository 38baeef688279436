"""The command line by itself: its help, its exit codes, its page, what it lists as JSON, and its completion.

`python -m tests.test_commands > docs/commands.md` writes the page.
"""

from __future__ import annotations

import argparse
import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from rose.cli import main, make_parser
from rose.cli.completion import commands_of

PAGE = Path(__file__).parents[1] / "docs" / "commands.md"
INTRODUCTION = """\
# Commands

`rose COMMAND --help` says what each takes, with examples. What gives data gives it to programs with `--json`, on
stdout; what was wrong is on stderr. RUN is a run directory: of a run that goes on, has ended, or died.
"""
EVERYWHERE = ("wrong usage", "Ctrl-C")
AFTER = """\

## Completion

`rose completion bash`, `zsh` or `fish` prints what has a shell complete commands, options, and directories and files
where they are meant:

    rose completion bash > ~/.local/share/bash-completion/completions/rose
    rose completion zsh > ~/.zfunc/_rose        # with `fpath+=~/.zfunc` in ~/.zshrc, before compinit
    rose completion fish > ~/.config/fish/completions/rose.fish
"""


def parts(parser: argparse.ArgumentParser) -> tuple[list[str], dict[str, str]]:
    """The examples and the exit codes that a command's help ends with."""
    said = parser.epilog or ""
    examples, _, codes = said.partition("exit codes:\n")
    shown = [line.strip() for line in examples.splitlines() if line.startswith("  ")]
    return shown, {line.split()[0]: line.split(maxsplit=1)[1] for line in codes.splitlines()}


def page() -> str:
    """The page about the commands, as their parsers have them."""
    rows = []
    for name, (help, parser) in commands_of(make_parser()).items():
        has_json = any("--json" in action.option_strings for action in parser._actions)
        codes = "; ".join(
            f"{code}: {meaning}" for code, meaning in parts(parser)[1].items() if meaning not in EVERYWHERE
        )
        cells = (f"`rose {name}`", help, "yes" if has_json else "", codes)
        rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    table = ["| command | what it does | `--json` | exit codes |", "|---|---|---|---|", *rows]
    return "\n".join([INTRODUCTION, *table, "", "Of every command, 2 is wrong usage and 130 Ctrl-C.", AFTER])


def test_the_page_is_what_the_commands_are() -> None:
    assert PAGE.read_text() == page(), "run `make docs`"


@pytest.mark.parametrize("name", commands_of(make_parser()))
def test_each_command_has_examples_that_it_takes_and_exit_codes(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    parser = commands_of(make_parser())[name][1]
    examples, codes = parts(parser)
    assert examples
    assert {"0", "1", "2"} <= codes.keys() or name == "setup"
    with pytest.raises(SystemExit) as end:
        main([name, "--help"])
    assert end.value.code == 0
    assert "exit codes:" in capsys.readouterr().out
    for example in examples:
        command = re.split(r"   | > | \| ", example)[0]
        assert make_parser().parse_args(shlex.split(command)[1:]).command == name


def test_bash_completes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", "bash"]) == 0
    (tmp_path / "completion").write_text(capsys.readouterr().out)
    (tmp_path / "my runs").mkdir()
    (tmp_path / "mine.py").touch()
    typed = {
        "rose wat": "watch",
        "rose status --w": "--watch",
        "rose status m": "my runs",
        "rose run m": "my runs|mine.py",
        "rose metrics --task c": "classification",
        "rose labels x --to mi": "mine.py",
        "rose set --workflow m": "",
        "rose completion z": "zsh",
    }
    complete = "COMP_WORDS=({}); COMP_CWORD={}; _rose; (IFS='|'; echo \"${{COMPREPLY[*]}}\")"
    lines = [complete.format(line, line.count(" ")) for line in typed]
    script = "\n".join(["source ./completion", *lines])
    ended = subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert ended.stdout.splitlines() == list(typed.values())
    assert not ended.stderr


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_can_read_theirs(shell: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    for name in commands_of(make_parser()):
        assert name in script
    if shutil.which(shell):
        subprocess.run([shell, "-n"], input=script, text=True, check=True)


@pytest.mark.parametrize("command", ["metrics", "metrics --task regression", "acquisitions", "engines"])
def test_what_is_listed_is_there_for_programs(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command.split()) == 0
    text = capsys.readouterr().out
    assert main([*command.split(), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    if command.startswith("metrics"):
        assert {one["name"] for one in found["criteria"]} >= {"r2_score", "labeling_cost"}
    rows: list[dict[str, Any]] = found["uncertainty"] if command.startswith("metrics") else found
    assert len(rows) >= 5
    for row in rows:
        assert row["name"] in text
        assert row["summary"]
    if command == "engines":
        assert rows[0]["capabilities"].keys() >= {"tells_start"}
        assert main(["engines", "--check", "threads", "--json"]) == 0
        assert {finding["error"] for finding in json.loads(capsys.readouterr().out)["findings"]} == {""}


if __name__ == "__main__":
    print(page(), end="")
