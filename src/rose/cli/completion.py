"""Run `rose completion`: print what has a shell complete the `rose` command; made from its parser."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rose.cli._arguments import add_command

if TYPE_CHECKING:
    from rose.cli._arguments import Commands

_PATHS = {"RUN": "directory", "DIR": "directory", "FILE": "file", "SCRIPT": "file"}  # what metavars stand for


@dataclass(frozen=True)
class _Argument:
    """Describe one argument.

    Attributes:
        options: its names; none: it goes by its position.
        help: a line.
        takes: whether, as an option, it is followed by a value.
        repeats: whether, by its position, there may be many.
        words: the values that there are.
        of: what it names, "directory" or "file"; empty: one of `words`, or what nobody knows here.
    """

    options: Sequence[str]
    help: str
    takes: bool
    repeats: bool
    words: Sequence[str]
    of: str


def add_completion_command(commands: Commands, parser: argparse.ArgumentParser) -> None:
    """Add the command, which completes what `parser` takes, to the parser."""

    def completion(arguments: argparse.Namespace) -> int:
        print(_SCRIPTS[arguments.shell](parser), end="")
        return 0

    made = add_command(
        commands,
        "completion",
        completion,
        "have a shell complete this command",
        "Print a script that has a shell complete commands, options, and directories and files where they are meant.",
        (
            "bash > ~/.local/share/bash-completion/completions/rose",
            "zsh > ~/.zfunc/_rose       with `fpath+=~/.zfunc` in ~/.zshrc, before compinit",
            "fish > ~/.config/fish/completions/rose.fish",
        ),
    )
    made.add_argument("shell", choices=tuple(_SCRIPTS), help="which")


def commands_of(parser: argparse.ArgumentParser) -> dict[str, tuple[str, argparse.ArgumentParser]]:
    """Return all commands of a parser: the line that says what each does, and its own parser."""
    (action,) = [one for one in parser._actions if isinstance(one, argparse._SubParsersAction)]
    helps = {one.dest: one.help or "" for one in action._choices_actions}
    return {name: (helps[name], own) for name, own in action.choices.items()}


def _arguments(parser: argparse.ArgumentParser) -> list[_Argument]:
    found = []
    for action in parser._actions:
        if action.help == argparse.SUPPRESS:
            continue
        metavar = action.metavar if isinstance(action.metavar, str) else ""
        takes, repeats = bool(action.option_strings) and action.nargs != 0, action.nargs in ("*", "+", "...")
        words = tuple(map(str, action.choices or ()))
        help = (action.help or "").replace("%%", "%")
        of = "" if words else _PATHS.get(metavar, "")
        found.append(_Argument(action.option_strings, help, takes, repeats, words, of))
    return found


# --- bash ------------------------------------------------------------------------------------------------------------


def _bash(parser: argparse.ArgumentParser) -> str:
    """Return a function that fills COMPREPLY, by the command and by the option before the cursor."""
    by_command, by_option = [], []
    for name, (_, own) in commands_of(parser).items():
        arguments = _arguments(own)
        words = [option for one in arguments for option in one.options]
        words += [word for one in arguments if not one.options for word in one.words]
        paths = next((one.of for one in arguments if not one.options and one.of), "")
        by_command.append(f"        {name}) words='{' '.join(words)}' paths={paths} ;;")
        for one in arguments:
            if one.takes:
                names = "|".join(f'"{name} {option}"' for option in one.options)
                by_option.append(f"        {names}) words='{' '.join(one.words)}' paths={one.of} ;;")
    lines = [
        "_rose() {",
        "    local cur=${COMP_WORDS[COMP_CWORD]} words= paths=",
        "    if [ $COMP_CWORD -eq 1 ]; then",
        f"        words='{' '.join(commands_of(parser))} --help --version'",
        "    else",
        "        case ${COMP_WORDS[1]} in",
        *by_command,
        "        esac",
        '        case "${COMP_WORDS[1]} ${COMP_WORDS[COMP_CWORD-1]}" in',
        *by_option,
        "        esac",
        "    fi",
        '    COMPREPLY=($(compgen -W "$words" -- "$cur"))',
        "    local IFS=$'\\n'",
        "    case $paths in",
        '    directory) compopt -o filenames 2>/dev/null; COMPREPLY+=($(compgen -d -- "$cur")) ;;',
        '    file) compopt -o filenames 2>/dev/null; COMPREPLY+=($(compgen -f -- "$cur")) ;;',
        "    esac",
        "}",
        "complete -F _rose rose",
    ]
    return "\n".join(lines) + "\n"


# --- zsh -------------------------------------------------------------------------------------------------------------

_ZSH_PATHS = {"directory": "_files -/", "file": "_files", "": " "}


def _zsh(parser: argparse.ArgumentParser) -> str:
    """Return a completion function, which says what each command and option is."""
    known = commands_of(parser)
    lines = ["#compdef rose", "_rose() {", "    local -a commands=("]
    lines += [f"        {_quoted(f'{name}:{help}')}" for name, (help, _) in known.items()]
    lines += [
        "    )",
        "    if (( CURRENT == 2 )); then",
        "        _describe command commands",
        "        return",
        "    fi",
    ]
    lines += ["    local command=$words[2]", "    shift words", "    (( CURRENT-- ))", "    case $command in"]
    for name, (_, own) in known.items():
        arguments = _arguments(own)
        by_position = [one for one in arguments if not one.options]
        specs = [_zsh_position(one, number) for number, one in enumerate(by_position, 1)]
        specs += [spec for one in arguments for spec in _zsh_options(one)]
        lines += [f"    {name})", "        _arguments \\", *(f"            {_quoted(spec)} \\" for spec in specs[:-1])]
        lines += [f"            {_quoted(specs[-1])}", "        ;;"]
    lines += ["    esac", "}", 'if [ "$funcstack[1]" = _rose ]; then _rose "$@"; else compdef _rose rose; fi']
    return "\n".join(lines) + "\n"


def _zsh_position(one: _Argument, number: int) -> str:
    return f"{'*' if one.repeats else number}:{_zsh_escaped(one.help)}:{_zsh_action(one)}"


def _zsh_options(one: _Argument) -> list[str]:
    value = f":value:{_zsh_action(one)}" if one.takes else ""
    return [f"{option}[{_zsh_escaped(one.help)}]{value}" for option in one.options]


def _zsh_action(one: _Argument) -> str:
    return f"({' '.join(one.words)})" if one.words else _ZSH_PATHS[one.of]


def _zsh_escaped(text: str) -> str:
    return text.translate({ord(letter): f"\\{letter}" for letter in "[]:\\"})


# --- fish ------------------------------------------------------------------------------------------------------------


def _fish(parser: argparse.ArgumentParser) -> str:
    """Return a line for each command, and for each of its arguments."""
    known = commands_of(parser)
    lines = ["complete -c rose -f"]
    for name, (help, own) in known.items():
        lines.append(f"complete -c rose -n __fish_use_subcommand -a {name} -d {_fish_quoted(help)}")
        for one in _arguments(own):
            parts = [f"complete -c rose -n '__fish_seen_subcommand_from {name}'"]
            parts += [f"-l {option[2:]}" if option.startswith("--") else f"-s {option[1:]}" for option in one.options]
            parts += ["-r"] if one.takes else []
            parts += [f"-a {_fish_quoted(' '.join(one.words))}"] if one.words else []
            parts += ["-a '(__fish_complete_directories)'"] if one.of == "directory" else []
            parts += ["-F"] if one.of == "file" else []
            if len(parts) > 1:
                lines.append(" ".join([*parts, "-d", _fish_quoted(one.help)]))
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


def _fish_quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


_SCRIPTS = {"bash": _bash, "zsh": _zsh, "fish": _fish}
