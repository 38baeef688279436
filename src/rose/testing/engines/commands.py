"""Test what a command line gets, and what is made of its end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rose.engine import Command, CommandOutput, Engine, Resources
from rose.errors import CommandFailedError, ConfigurationError, TaskTimeoutError
from rose.testing.engines.suite import EngineTests, fails, task, with_engine


class CommandsContract(EngineTests):
    """Hold a part of `EngineContract`."""

    @with_engine()
    async def test_a_command_gives_its_output(self, engine: Engine, tmp_path: Path) -> None:
        """Understand shell syntax, an environment, a directory; wait for no grandchild, and keep what is bounded."""
        output = await engine.run(task(Command("""sh -c 'echo "two words"; echo aside >&2'""")))
        assert isinstance(output, CommandOutput)
        assert (output.stdout, output.stderr) == ("two words\n", "aside\n")
        assert output.seconds > 0
        place = tmp_path / "a" / "b"
        command = Command("pwd && echo $COLOUR | tr a-z A-Z > out.txt", cwd=place, env={"COLOUR": "red"})
        assert (await engine.run(task(command))).stdout == f"{place}\n"
        assert (place / "out.txt").read_text() == "RED\n"
        limited = task(Command("echo $OMP_NUM_THREADS"), resources=Resources(cpus=2))
        assert (await engine.run(limited)).stdout == "2\n"
        assert (await engine.run(task(Command("sleep 100 & echo done")))).stdout == "done\n"
        output = await engine.run(task(Command("yes 12345678 | head -c 20000000; echo; echo 0.5")))
        assert output.stdout.endswith("\n0.5\n")
        assert len(output.stdout) < 10_000_000

    @with_engine()
    async def test_a_failing_command_says_why(self, engine: Engine) -> None:
        line = "sh -c 'echo cannot open mesh >&2; exit 3'"
        running = engine.run(task(Command(line), name="simulation"))
        error = await fails(running, CommandFailedError, r"(?s)simulation: .*exit code 3: .*cannot open mesh")
        assert (error.key, error.exit_code, error.command) == ("workflow/0/simulation", 3, line)
        assert error.stderr == "cannot open mesh\n"
        for line, code, text in (
            ("no-such-program --help", 127, "'no-such-program' not found"),
            ("sh -c 'kill -9 $$'", -9, "killed by SIGKILL"),
            ("/", 126, "not executable"),
        ):
            assert (await fails(engine.run(task(Command(line))), CommandFailedError, text)).exit_code == code
        wrong: Any = {"SEED": 1}
        running = engine.run(task(Command("true", env=wrong)))
        await fails(running, CommandFailedError, r"(?s)workflow/0/stage: .*env")
        for line in ("", "  ", "echo 'half"):
            await fails(engine.run(task(Command(line))), ConfigurationError, "command line")

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
                await fails(running, error, r"(?s)workflow/0/stage: .*aside")
            assert (out.read_text(), err.read_text()) == ("fine\n", "aside\n")
            out.unlink()
        both = tmp_path / "both.txt"
        await engine.run(task(Command("echo one; echo two >&2; echo three", stdout=both, stderr=both)))
        assert both.read_text() == "one\ntwo\nthree\n"
        running = engine.run(task(Command("true", stdout=both / "below.txt")))
        await fails(running, CommandFailedError, r"workflow/0/stage: .*both\.txt")
