"""Decide how a command line is run: split into words and executed as it is, or by a shell if it uses one's syntax."""

from __future__ import annotations

import re
import shlex

from rose.errors import ConfigurationError

# Words that only a shell understands when a line begins with them.
_SHELL_WORDS = re.compile(
    r"(!|\.|:|\[\[|\{|break|case|cd|continue|eval|exec|exit|export|for|if|local|read|readonly|return|set|shift|source|time|"
    r"trap|ulimit|umask|unset|until|wait|while)\Z"
)
_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=")
_SPECIAL = frozenset("|&;<>()$`*?[\n")


def needs_shell(line: str) -> bool:
    """Return whether a line means to a shell anything else than its words.

    >>> needs_shell("python train.py --name 'a; b'"), needs_shell("python train.py > log.txt")
    (False, True)
    """
    quote = ""
    begins = True  # at the beginning of a word
    characters = iter(line)
    for character in characters:
        if quote:
            if character == quote:
                quote = ""
            elif quote == '"' and character == "\\":
                next(characters, "")
            elif quote == '"' and character in "$`":
                return True
        elif character in "'\"":
            quote = character
        elif character == "\\":
            next(characters, "")
        elif character in _SPECIAL or (begins and character in "~#"):
            return True
        begins = not quote and character in " \t"
    first = (line.split(maxsplit=1) or [""])[0]
    return bool(_SHELL_WORDS.match(first) or _ASSIGNMENT.match(first))


def split(line: str) -> list[str]:
    """Return the arguments to execute.

    >>> split("echo 'a b' c")
    ['echo', 'a b', 'c']
    >>> split("echo $HOME")
    ['/bin/sh', '-c', 'echo $HOME']

    Raises:
        ConfigurationError: an empty line, or a quotation without an end.
    """
    if needs_shell(line):
        return ["/bin/sh", "-c", line]
    try:
        words = shlex.split(line)
    except ValueError as error:
        raise ConfigurationError(f"the command line cannot be split ({error}): {line}") from error
    if not words:
        raise ConfigurationError("the command line is empty")
    return words
