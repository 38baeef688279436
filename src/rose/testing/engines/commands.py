"""Test what a command line gets, and what is made of its end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rose.engine import Command, CommandOutput, Engine, Resources
from rose.errors import CommandFailedError, ConfigurationError, TaskTimeoutError
from rose.testing.engines.suite import EngineTests, task, with_engine


class CommandsContract(EngineTests):
    """Hold a part of `EngineContract`."""

    @with_engine()
    async def test_a_command_gives_its_output(self, engine: Engine) -> None:
        output = await engine.run(task(Command("""sh -c 'echo "two words"; echo aside >&2'""")))
        assert isinstance(output, CommandOutput)
        assert (output.stdout, output.stderr) == ("two words\n", "aside\n")
        assert output.seconds > 0

    @with_engine()
    async def test_a_command_may_use_shell_syntax_environment_and_directory(
        self, engine: Engine, tmp_path: Path
    ) -> None:
        command = Command("pwd && echo $COLOUR | tr a-z A-Z > out.txt", cwd=tmp_path / "a" / "b", env={"COLOUR": "red"})
        output = await engine.run(task(command))
        assert output.stdout == f"{tmp_path}/a/b\n"
        assert (tmp_path / "a" / "b" / "out.txt").read_text() == "RED\n"

    @with_engine()
    async def test_a_commands_cpus_limit_its_threads(self, engine: Engine) -> None:
        output = await engine.run(task(Command("echo $OMP_NUM_THREADS"), resources=Resources(cpus=2)))
        assert output.stdout == "2\n"

    @with_engine()
    async def test_a_failing_command_says_why(self, engine: Engine) -> None:
        line = "sh -c 'echo cannot open mesh >&2; exit 3'"
        with pytest.raises(CommandFailedError, match=r"(?s)simulation: .*exit code 3: .*cannot open mesh") as caught:
            await engine.run(task(Command(line), name="simulation"))
        error = caught.value
        assert (error.key, error.exit_code, error.command) == ("workflow/0/simulation", 3, line)
        assert error.stderr == "cannot open mesh\n"

    @pytest.mark.parametrize(
        ("line", "code", "text"),
        [
            ("no-such-program --help", 127, "'no-such-program' not found"),
            ("sh -c 'kill -9 $$'", -9, "killed by SIGKILL"),
            ("/", 126, "not executable"),
        ],
    )
    @with_engine()
    async def test_a_command_that_cannot_run(self, engine: Engine, line: str, code: int, text: str) -> None:
        with pytest.raises(CommandFailedError, match=text) as caught:
            await engine.run(task(Command(line)))
        assert caught.value.exit_code == code

    @with_engine()
    async def test_a_commands_environment_must_be_text(self, engine: Engine) -> None:
        wrong: Any = {"SEED": 1}
        with pytest.raises(CommandFailedError, match=r"(?s)workflow/0/stage: .*env"):
            await engine.run(task(Command("true", env=wrong)))

    @pytest.mark.parametrize("line", ["", "  ", "echo 'half"])
    @with_engine()
    async def test_a_command_line_that_is_none(self, engine: Engine, line: str) -> None:
        with pytest.raises(ConfigurationError, match="command line"):
            await engine.run(task(Command(line)))

    @with_engine()
    async def test_a_grandchild_does_not_hold_up_its_command(self, engine: Engine) -> None:
        output = await engine.run(task(Command("sleep 100 & echo done")))
        assert output.stdout == "done\n"

    @with_engine()
    async def test_much_output_is_bounded(self, engine: Engine) -> None:
        output = await engine.run(task(Command("yes 12345678 | head -c 20000000; echo; echo 0.5")))
        assert output.stdout.endswith("\n0.5\n")
        assert len(output.stdout) < 10_000_000

    @with_engine()
    async def test_a_commands_output_is_kept_where_it_is_wanted(self, engine: Engine, tmp_path: Path) -> None:
        out, err = tmp_path / "logs" / "out.txt", tmp_path / "logs" / "err.txt"
        for line, timeout, error in (
            ("echo fine; echo aside >&2", None, None),
            ("echo fine; echo aside >&2; exit 3", None, CommandFailedError),
            ("echo fine; echo aside >&2; sleep 60", 0.5, TaskTimeoutError),
        ):
            running = engine.run(task(Command(line, stdout=out, stderr=err), timeout=timeout))
            if error is None:
                output = await running
                assert (output.stdout, output.stderr) == ("fine\n", "aside\n")
            else:
                with pytest.raises(error, match=r"(?s)workflow/0/stage: .*aside"):
                    await running
            assert (out.read_text(), err.read_text()) == ("fine\n", "aside\n")
            out.unlink()
        both = tmp_path / "both.txt"
        await engine.run(task(Command("echo one; echo two >&2; echo three", stdout=both, stderr=both)))
        assert both.read_text() == "one\ntwo\nthree\n"
        with pytest.raises(CommandFailedError, match=r"workflow/0/stage: .*both\.txt"):
            await engine.run(task(Command("true", stdout=both / "below.txt")))
