"""The report of a run: one page that says all of it, of whatever kind the run is, with everything in it as text."""

from __future__ import annotations

import hashlib
import json
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from rose import ParallelUQLearner, Pool, UQLearnerConfig
from rose.cli import main
from rose.engine import ThreadEngine
from rose.metrics import PREDICTIVE_ENTROPY
from rose.store import RunReader
from rose.watch import report as reports
from rose.watch.facts import Facts
from rose.watch.report import asset, report

BAD = '<script>alert("1")</script><img src=x onerror=alert(2)>&amp;\x1b[31m'
NAME, MODEL, CLASS = f"w {BAD}", f"m {BAD}", f"yes {BAD}"
SECTIONS = ["answer", "curves", "uncertainty", "selection", "calibration", "time", "failures", "provenance", "tasks"]


class Page(HTMLParser):
    """What a browser would make of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.texts: list[str] = []
        self._raw = ""
        self.raw: dict[str, list[str]] = {"script": [], "style": []}
        self.feed(html)
        self.text = " ".join(self.texts)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        self._raw = tag if tag in self.raw else ""

    def handle_endtag(self, tag: str) -> None:
        self._raw = ""

    def handle_data(self, data: str) -> None:
        self.raw[self._raw].append(data) if self._raw else self.texts.append(data)

    def values(self, name: str) -> list[str]:
        return [value for _, attribute, value in self.attributes if attribute == name]


def images(count: int, seed: int) -> np.ndarray:
    """Blurred images: dark on the left, or on the right."""
    rng = np.random.default_rng(seed)
    ramp = np.linspace(-1, 1, 8) * rng.choice([-1.0, 1.0], count)[:, None]
    return (ramp[:, None, :] + rng.normal(scale=0.3, size=(count, 8, 8))).astype(np.float32)


def classes_of(X: np.ndarray) -> np.ndarray:
    return np.where((X[:, :, 4:].mean(axis=(1, 2)) > 0), CLASS, "no")


def hostile(run_dir: Path | None) -> ParallelUQLearner:
    X, X_test = images(60, 0), images(40, 1)
    pool = Pool(X, initial=8, seed=0, holdout=(X_test, classes_of(X_test)))
    learner = ParallelUQLearner(ThreadEngine(2), pool=pool, run_dir=run_dir)

    @learner.simulation_task(as_executable=False, on_failure="drop", retries=1)
    def simulate(x, index):
        if index % 10 == 3:
            raise ValueError(f"no licence {BAD}")
        return classes_of(x[None])[0]

    @learner.training_task(as_executable=False)
    def train(X, y, seed):
        centres = np.array([X[y == name].mean(axis=0) for name in (CLASS, "no")])
        return np.random.default_rng(seed).normal(scale=0.1), centres

    @learner.prediction_task(as_executable=False, classes=[CLASS, "no"])
    def predict(model, X):
        noise, centres = model
        far = ((X[:, None] - centres) ** 2).sum(axis=(2, 3))
        p = 1 / (1 + np.exp(np.clip((far[:, 0] - far[:, 1]) / 20 + noise, -30, 30)))
        return np.stack([p, 1 - p], axis=1)

    learner.uncertainty_quantification(PREDICTIVE_ENTROPY, query_size=3)
    return learner


WORKFLOWS = {NAME: UQLearnerConfig(), "by chance": UQLearnerConfig(acquisition="random")}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run whose names, labels and errors are markup; with its results."""
    path = tmp_path_factory.mktemp("report") / "run <b>"
    return path, hostile(path).run(workflows=WORKFLOWS, model_names=[MODEL, "b"], max_iter=4)


@pytest.fixture(scope="module")
def page(run):
    return Page(report(run[0]).html)


def test_everything_is_there(page):
    assert [one for one in page.values("id") if one in SECTIONS] == SECTIONS
    for question in ("What did it save?", "Where did the time go?", "Why did it stop?"):
        assert question in page.text
    assert "by chance (at random)" in page.text
    assert "it had played all its iterations" in page.text
    for name in ("accuracy", "log_loss", "brier", "uncertainty"):
        assert name in page.values("data-measure")
    assert "principal component 1" in page.text
    assert len([src for src in page.values("src") if src.startswith("data:image/png;base64,")]) > 10, "the gallery"
    assert "predicted class" in page.text
    assert "Gantt chart of the workers" in page.values("aria-label")
    assert "Traceback" in page.text
    assert "no licence" in page.text
    assert "numpy" in page.text, "versions"


def test_what_a_run_says_is_text(page):
    assert page.tags.count("script") == 2, "our data and our script"
    assert "\x1b" not in page.text
    assert NAME.replace("\x1b", "\\x1b") in page.text
    assert not [one for one in page.attributes if one[1].startswith("on") or one[1] == "style"]
    curves = json.loads(page.raw["script"][0])
    assert [curve["name"] for curve in curves] == [NAME.replace("\x1b", "\\x1b"), "by chance"]
    assert set(page.tags) <= {
        *("html", "head", "meta", "title", "style", "body", "header", "main", "section", "article", "nav", "h1", "h2"),
        *("h3", "p", "a", "b", "br", "ul", "li", "dl", "dt", "dd", "div", "span", "code", "pre", "details", "summary"),
        *("button", "figure", "figcaption", "table", "thead", "tbody", "tr", "th", "td", "img", "script"),
        *("svg", "g", "path", "text", "rect", "use"),
    }  # fmt: skip


def test_every_link_leads_somewhere_and_nothing_is_fetched(page):
    ids = set(page.values("id"))
    assert len(ids) == len(page.values("id"))
    links = page.values("href")
    assert len(links) > 20
    assert all(link.startswith("#") and link[1:] in ids for link in links)
    (policy,) = [value for value in page.values("content") if "default-src" in value]
    assert "default-src 'none'" in policy
    assert "unsafe-inline" not in policy


def test_in_a_notebook_and_in_a_file(run, tmp_path):
    _, results = run
    found = results.report()
    assert found._repr_html_().startswith("<iframe srcdoc=")
    assert "<title>run &lt;b&gt;: ROSE report</title>" in results[NAME].report().html
    written = found.save(tmp_path / "r.html")
    assert [one.name for one in tmp_path.iterdir()] == ["r.html"]
    assert written.read_text().startswith("<!doctype html>")


def test_without_a_directory():
    """What results remember is told; that times are not known, too."""
    results = hostile(None).run(workflows=WORKFLOWS, model_names=["a"], max_iter=2)
    told = Page(results.report().html)
    assert "by chance reached accuracy" in told.text
    assert "times are recorded in a run directory" in told.text
    assert "it had played all its iterations" in told.text
    assert "by chance" not in Page(results[NAME].report().html).text


def test_at_the_end_of_a_run(tmp_path, monkeypatch, caplog):
    monkeypatch.delenv("ROSE_REPORT")
    learner = hostile(tmp_path / "run")
    learner.reports = False
    learner.run(["w"], ["a"], max_iter=1)
    assert not (tmp_path / "run" / "report.html").exists()

    def broken(facts):
        raise RuntimeError("no ink")

    with monkeypatch.context() as patched:
        patched.setattr(reports, "page", broken)
        assert hostile(tmp_path / "run").run(["w"], ["a"], max_iter=2)["w"].iterations
    assert "could not be written" in caplog.text
    hostile(tmp_path / "run").run(["w"], ["a"], max_iter=3)
    html = (tmp_path / "run" / "report.html").read_text()
    assert "resumed 2 x" in html
    assert "finished" in Page(html).text


def test_command(run, tmp_path, capsys):
    path, _ = run
    assert main(["report", str(path), "--out", str(tmp_path / "r.html")]) == 0
    assert capsys.readouterr().out.strip().endswith("r.html")
    assert main(["report", str(path), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [curve["workflow"] for curve in told["curves"]] == [NAME, "by chance"]
    assert told["answer"]["savings"][0]["control"] == "by chance"
    assert told["failures"]["dropped"]
    assert told["provenance"]["workflows"]["by chance"]["acquisition"] == "random"
    assert main(["report", str(path), "--to", "gif", str(tmp_path)]) == 1
    assert "written as png" in capsys.readouterr().err
    assert main(["report", str(tmp_path)]) == 1


def test_pictures(run, tmp_path):
    pytest.importorskip("matplotlib")
    from rose.watch.pictures import write_pictures

    with RunReader(run[0]) as reader:
        facts = Facts(reader)
        facts.update()
        written = write_pictures(facts, tmp_path / "figures", only=("map", "calibration"))
    assert [path.name for path in written] == ["map.png", "calibration.png"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in written)


def test_what_others_have_made_is_as_it_was():
    sums = dict(reversed(line.split()) for line in asset("SHA256SUMS").splitlines())
    assert sums
    for name, digest in sums.items():
        assert hashlib.sha256(asset(name).encode()).hexdigest() == digest
    assert "MIT License" in asset("uplot/LICENSE")
