"""Names, and where programs import them from."""

import warnings

from observe import note, program, raised


@program
def uq_names():
    from rose.uq import UQ_REGISTRY, ParallelUQLearner, SeqUQLearner, UQLearner, UQLearnerConfig, UQScorer, register_uq

    note("classes", [c.__name__ for c in (ParallelUQLearner, SeqUQLearner, UQLearner, UQLearnerConfig, UQScorer)])
    note("usable", [callable(register_uq), "margin" in UQ_REGISTRY])


@program
def uq_modules():
    from rose.learner import LearnerConfig as base
    from rose.uq import ParallelUQLearner as short
    from rose.uq import UQLearnerConfig
    from rose.uq.uq_active_learner import IterationState, ParallelUQLearner, TaskConfig, UQLearner
    from rose.uq.uq_scorer import UQScorer

    note("same", [short is ParallelUQLearner, issubclass(UQLearnerConfig, base)])
    note("names", [c.__name__ for c in (IterationState, TaskConfig, UQLearner, UQScorer)])


@program
def uq_learner_module():
    from rose.uq.uq_learner import Learner, LearnerConfig, TaskConfig, UQLearner, UQLearnerConfig

    note("learners", issubclass(UQLearner, Learner))
    note("configs", [issubclass(UQLearnerConfig, LearnerConfig), TaskConfig().args, TaskConfig().kwargs])


@program
def parallel_is_sequential():
    from rose.uq import ParallelUQLearner, SeqUQLearner, UQLearner

    note("subclasses", [issubclass(ParallelUQLearner, SeqUQLearner), issubclass(SeqUQLearner, UQLearner)])


@program
def base_learner():
    try:
        from rose import Learner
    except ModuleNotFoundError:
        note("fallback", True)
        return
    from rose.learner import Learner as same

    note("same", Learner is same)


@program
def top_level():
    from rose import IterationState, Learner, LearnerConfig, PipelineManifest, TaskConfig, TrackerBase

    note("names", [c.__name__ for c in (IterationState, Learner, LearnerConfig, TaskConfig)])
    note("tracking", [PipelineManifest.__name__, TrackerBase.__name__])


@program
def top_level_packages():
    import rose
    from rose import al, rl, uq

    note("names", [al.__name__, rl.__name__, uq.__name__])
    note("attributes", [rose.al is al, rose.rl is rl, rose.uq is uq])


@program
def top_level_modules():
    from rose import active_learner, reinforcement_learner, selector, uq_active_learner, uq_learner, uq_scorer

    modules = (active_learner, reinforcement_learner, selector, uq_active_learner, uq_learner, uq_scorer)
    note("names", [module.__name__ for module in modules])


@program
def long_names():
    import rose.active_learning
    import rose.al
    import rose.reinforcement_learning
    import rose.rl
    import rose.uncertainty_quantification
    import rose.uq

    note("uq", rose.uq is rose.uncertainty_quantification)
    note("al", rose.al is rose.active_learning)
    note("rl", rose.rl is rose.reinforcement_learning)


@program
def long_submodules():
    from rose.active_learning.active_learner import SequentialActiveLearner
    from rose.active_learning.selector import AlgorithmSelector
    from rose.al.active_learner import SequentialActiveLearner as same
    from rose.reinforcement_learning.experience import Experience
    from rose.reinforcement_learning.reinforcement_learner import SequentialReinforcementLearner
    from rose.uncertainty_quantification.uq_active_learner import SeqUQLearner
    from rose.uncertainty_quantification.uq_scorer import UQScorer

    classes = AlgorithmSelector, Experience, SequentialReinforcementLearner, SeqUQLearner, UQScorer
    note("names", [c.__name__ for c in classes])
    note("same", SequentialActiveLearner is same)


@program
def active_learner_module():
    from rose.al.active_learner import Learner, ParallelActiveLearner, SequentialActiveLearner
    from rose.al.selector import AlgorithmSelector

    note(
        "learners",
        [issubclass(c, Learner) for c in (SequentialActiveLearner, ParallelActiveLearner, AlgorithmSelector)],
    )


@program
def reinforcement_modules():
    from rose.rl import Experience, ExperienceBank
    from rose.rl.experience import create_experience
    from rose.rl.reinforcement_learner import (
        ParallelExperience,
        ParallelReinforcementLearner,
        ReinforcementLearner,
        SequentialReinforcementLearner,
    )

    note("names", [Experience.__name__, ExperienceBank.__name__, create_experience.__name__])
    classes = ParallelExperience, ParallelReinforcementLearner, SequentialReinforcementLearner
    note("learners", [issubclass(c, ReinforcementLearner) for c in classes])


@program
def metric_names():
    from rose.metrics import (
        EQUAL_TO_THRESHOLD,
        GREATER_THAN_THRESHOLD,
        LESS_THAN_THRESHOLD,
        MARGIN,
        MEAN_SQUARED_ERROR_MSE,
        MODEL_ACCURACY,
        PREDICTIVE_ENTROPY,
    )

    note("metrics", [MODEL_ACCURACY, MEAN_SQUARED_ERROR_MSE, PREDICTIVE_ENTROPY, MARGIN])
    note("operators", [LESS_THAN_THRESHOLD, GREATER_THAN_THRESHOLD, EQUAL_TO_THRESHOLD])


@program
def metrics_from_the_top():
    from rose import F1_SCORE, GREATER_THAN_OR_EQUAL_TO_THRESHOLD, MODEL_ACCURACY

    note("values", [MODEL_ACCURACY, F1_SCORE, GREATER_THAN_OR_EQUAL_TO_THRESHOLD])


@program
def learning_metrics():
    from rose.metrics import LearningMetrics

    note("members", [LearningMetrics.MODEL_ACCURACY.value, LearningMetrics.LESS_THAN_THRESHOLD.value])
    note("supported", [LearningMetrics.is_supported_metric(m) for m in ("f1_score", "margin", "mine")])
    asked = "model_accuracy", "f1_score", "mean_squared_error_mse", "predictive_entropy", "uncertainty", "mine"
    note("operators", {metric: LearningMetrics.get_operator(metric) for metric in asked})
    note("margin", LearningMetrics.get_operator("margin"))
    note("count", len(LearningMetrics.OPERATORS.value))


@program
def tracking_names():
    from rose.learner import PipelineManifest as same
    from rose.tracking import CriterionManifest, PipelineManifest, TaskManifest, TrackerBase

    note("same", same is PipelineManifest)
    note("subclass", issubclass(CriterionManifest, TaskManifest))
    note("methods", [hasattr(TrackerBase, name) for name in ("on_start", "on_iteration", "on_stop")])


@program
def quiet_import():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with raised("import"):
            import rose.uq  # noqa: F401


@program
def remote_execution():
    from rose.remote import run_remote

    note("callable", callable(run_remote))
