"""UQScorer and its registry."""

import numpy as np
from observe import note, program, raised

from rose.uq import UQ_REGISTRY, UQScorer, register_uq

SURE = [[0.9, 0.1], [0.5, 0.5], [0.7, 0.3]]
UNSURE = [[0.7, 0.3], [0.5, 0.5], [0.1, 0.9]]
CLASSES = np.array([SURE, UNSURE, SURE])
VALUES = np.array([[1.0, 2.0, 3.0, 0.0], [1.1, 2.8, 3.0, 1.0], [0.9, 1.2, 3.3, 2.0]])


def classification(metric):
    scorer = UQScorer(task_type="classification")
    return np.round(getattr(scorer, metric)(CLASSES), 5)


@program
def predictive_entropy():
    note("scores", classification("predictive_entropy"))


@program
def mutual_information():
    note("scores", classification("mutual_information"))


@program
def variation_ratio():
    note("scores", classification("variation_ratio"))


@program
def margin():
    note("scores", classification("margin"))


@program
def predictive_variance():
    note("scores", UQScorer("regression").predictive_variance(VALUES))


@program
def interval_width():
    scorer = UQScorer("regression")
    note("scores", scorer.predictive_interval_width(VALUES))
    note("half", scorer.predictive_interval_width(VALUES, quantile=0.5))


@program
def negative_log_likelihood():
    note("classes", np.round(UQScorer("classification").negative_log_likelihood(CLASSES, np.array([0, 1, 1])), 4))
    truth = np.array([1.0, 2.0, 3.1, 1.0])
    note("values", np.round(UQScorer("regression").negative_log_likelihood(VALUES, truth), 4))


@program
def select_by_default():
    indices, scores = UQScorer("classification").select_top_uncertain(CLASSES, k=2)
    note("classes", [indices, np.round(scores, 5)])
    indices, scores = UQScorer("regression").select_top_uncertain(VALUES, k=2)
    note("values", [indices, np.round(scores, 5)])


@program
def select_by_metric():
    scorer = UQScorer("classification")
    for metric in ("predictive_entropy", "mutual_information", "variation_ratio"):
        note(metric, scorer.select_top_uncertain(CLASSES, k=1, metric=metric)[0])


@program
def select_by_margin():
    note("indices", UQScorer("classification").select_top_uncertain(CLASSES, k=2, metric="margin")[0])


@program
def select_more_than_there_are():
    note("indices", UQScorer("regression").select_top_uncertain(VALUES, k=10)[0])


@program
def select_by_likelihood():
    truth = np.array([1.0, 2.0, 3.1, 1.0])
    scorer = UQScorer("regression")
    note("indices", scorer.select_top_uncertain(VALUES, k=1, metric="negative_log_likelihood", y_true=truth)[0])


@program
def compute_all():
    results = UQScorer("regression").compute_uncertainty(VALUES)
    note("variance", results["predictive_variance"])
    note("without truth", "negative_log_likelihood" in results)
    results = UQScorer("classification").compute_uncertainty(CLASSES)
    names = "predictive_entropy", "mutual_information", "variation_ratio", "margin"
    note("classes", {name: np.round(results[name], 5) for name in names})


@program
def task_types():
    note("kept", [UQScorer("regression").task_type, UQScorer(task_type="classification").task_type])
    with raised("unknown"):
        UQScorer("clustering")


@program
def shapes():
    scorer = UQScorer("classification")
    with raised("one dimension"):
        scorer.predictive_entropy(np.array([0.5, 0.5]))
    with raised("regression of three"):
        UQScorer("regression").predictive_variance(np.zeros((2, 3, 4)))
    note("lists", np.round(scorer.predictive_entropy(CLASSES.tolist()), 5))
    note("squeezed", np.round(UQScorer("regression").predictive_variance(VALUES[:, :, None]), 5))


@program
def one_sample():
    scorer = UQScorer("regression")
    note("variance", scorer.predictive_variance(VALUES[:1]))
    note("mutual_information", np.round(UQScorer("classification").mutual_information(CLASSES[:1]), 4) + 0.0)


@program
def registry():
    names = "predictive_entropy", "mutual_information", "variation_ratio", "margin", "predictive_variance"
    note("names", [name in UQ_REGISTRY for name in (*names, "predictive_interval_width", "negative_log_likelihood")])
    note("keys", "margin" in list(UQ_REGISTRY.keys()))
    note("called", np.round(UQ_REGISTRY["predictive_entropy"](UQScorer("classification"), CLASSES), 5))
    with raised("unknown"):
        UQScorer("classification").select_top_uncertain(CLASSES, metric="nonsense")


@program
def own_metric():
    @register_uq("spread")
    def spread(self, mc_preds):
        mc_preds, _ = self._validate_inputs(mc_preds)
        return np.ptp(mc_preds, axis=0)

    scorer = UQScorer("regression")
    note("selected", scorer.select_top_uncertain(VALUES.tolist(), k=1, metric="spread")[0])
    note("computed", scorer.compute_uncertainty(VALUES)["spread"])


@program
def own_metric_by_item():
    UQ_REGISTRY["first"] = lambda self, mc_preds: np.asarray(mc_preds)[0]
    note("selected", UQScorer("regression").select_top_uncertain(VALUES, k=2, metric="first"))


@program
def replaced_metric():
    @register_uq("predictive_variance")
    def constant(self, mc_preds):
        return np.arange(4.0)

    note("selected", UQScorer("regression").select_top_uncertain(VALUES, k=2)[0])


@program
def validate():
    scorer = UQScorer("classification")
    predictions, truth = scorer._validate_inputs(CLASSES.tolist(), [0, 1, 0])
    note("shapes", [predictions.shape, truth.shape])
    note("none", scorer._validate_inputs(CLASSES)[1])
    with raised("bad"):
        scorer._validate_inputs([0.1, 0.2])


@program
def not_normalised():
    with raised("error"):
        UQScorer("classification").predictive_entropy(CLASSES * 3)


@program
def not_a_number():
    values = VALUES.copy()
    values[0, 0] = np.nan
    with raised("error"):
        UQScorer("regression").select_top_uncertain(values, k=1)
