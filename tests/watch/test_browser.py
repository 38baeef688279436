"""The live page in a real browser: it goes on by itself, obeys, shows what failed and what died, is read by all."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")
pytest.importorskip("htpy")
playwright = pytest.importorskip("playwright.sync_api")
axe = pytest.importorskip("axe_playwright_python.sync_playwright")

from tests.watch.served import TOKEN, going_on, served  # noqa: E402

BROWSER = next(filter(None, map(shutil.which, ("chromium-headless-shell", "chromium"))), None)
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no browser: install Debian's chromium-headless-shell")

DRIVER = """
import sys, time
from rose import Pool, SeqUQLearner, ThreadEngine
pool = Pool([[float(i)] for i in range(9)], initial=2)
learner = SeqUQLearner(ThreadEngine(workers=1), pool=pool, run_dir=sys.argv[1])
learner.uncertainty_quantification("predictive_variance", query_size=1)
@learner.simulation_task(as_executable=False)
def simulate(x):
    print("simulating", flush=True)
    time.sleep(60)
@learner.training_task(as_executable=False)
def train(X, y): ...
@learner.prediction_task(as_executable=False)
def predict(model, X): ...
learner.run(model_names=["a"], max_iter=2)
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield browser
        browser.close()


def opened(browser: Any, port: int, **options: Any) -> Any:
    """A tab at the list of runs, which notes what goes wrong in it."""
    tab = browser.new_context(**options).new_page()
    tab.wrong = []
    tab.on("pageerror", lambda error: tab.wrong.append(str(error)))
    tab.on("console", lambda said: tab.wrong.append(said.text) if said.type in ("error", "warning") else None)
    tab.on("dialog", lambda dialog: tab.wrong.append(dialog.message))
    tab.goto(f"http://127.0.0.1:{port}/?token={TOKEN}")
    return tab


def test_a_run_is_followed_and_told_what_to_do(browser: Any, tmp_path: Path) -> None:
    with going_on(tmp_path / "runs" / "one") as run, served(tmp_path / "runs") as port:
        tab = opened(browser, port)
        assert "token" not in tab.url
        tab.get_by_role("link", name="one").click()
        state = tab.locator("#state")
        playwright.expect(state).to_contain_text("running")
        setting = tab.get_by_role("group", name="Set")
        setting.get_by_label("value").fill("3")
        setting.get_by_role("button").click()
        playwright.expect(tab.locator("#orders")).to_contain_text("done")
        tab.evaluate("window.reloaded = false")  # gone with a reload
        tab.locator("#time summary").first.click()
        setting.get_by_label("value").fill("half typed")
        run.ends()
        playwright.expect(state).to_contain_text("finished")
        assert tab.evaluate("window.reloaded") is False
        playwright.expect(tab.locator("#time details").first).to_have_attribute("open", "")
        playwright.expect(setting.get_by_label("value")).to_have_value("half typed")
        failure = tab.locator("#failures details.failure")
        failure.locator("summary").click()
        failure.get_by_role("link").click()
        playwright.expect(tab.locator("pre")).to_contain_text("Traceback")
        assert tab.title().endswith("ROSE")  # no script of the run's has changed it
        assert tab.wrong == []


def test_a_run_is_stopped_by_a_click(browser: Any, tmp_path: Path) -> None:
    with going_on(tmp_path / "runs" / "one") as run, served(tmp_path / "runs") as port:
        tab = opened(browser, port)
        tab.get_by_role("link", name="one").click()
        tab.get_by_role("group", name="Stop").get_by_role("button").click()
        playwright.expect(tab.locator("#orders")).to_contain_text("done")
        run.ends()
        playwright.expect(tab.locator("#state")).to_contain_text("stopped")
        assert tab.wrong == []


def test_a_run_that_was_killed_is_shown_as_dead(browser: Any, tmp_path: Path) -> None:
    run = tmp_path / "runs" / "one"
    driver = subprocess.Popen([sys.executable, "-c", DRIVER, str(run)], stdout=subprocess.PIPE)
    try:
        assert driver.stdout is not None
        driver.stdout.readline()
        with served(tmp_path / "runs") as port:
            tab = opened(browser, port)
            tab.get_by_role("link", name="one").click()
            playwright.expect(tab.locator("#state")).to_contain_text("running")
            os.kill(driver.pid, signal.SIGKILL)
            driver.wait()
            playwright.expect(tab.locator("#state")).to_contain_text("crashed")
    finally:
        driver.kill()
        driver.wait()
        assert driver.stdout is not None
        driver.stdout.close()


@pytest.mark.parametrize(("scheme", "width"), [("light", 1600), ("dark", 1280), ("light", 390)])
def test_everybody_can_read_it(browser: Any, tmp_path: Path, scheme: str, width: int) -> None:
    with going_on(tmp_path / "runs" / "one", waits=False) as run, served(tmp_path / "runs") as port:
        run.ends()
        tab = opened(browser, port, color_scheme=scheme, viewport={"width": width, "height": 800})
        for place, link in (("Runs", "one"), ("Workflows", "its times"), ("Error", None)):
            playwright.expect(tab.get_by_role("heading", name=place, exact=True)).to_be_visible()
            found = axe.Axe().run(tab).response["violations"]
            assert [one for one in found if one["impact"] in ("serious", "critical")] == []
            assert tab.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
            tab.keyboard.press("Tab")
            assert tab.evaluate("document.activeElement.className") == "skip"
            tab.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true; })")
            if link is not None:
                tab.locator("main").get_by_role("link").filter(has_text=link).first.click()
        assert tab.wrong == []
