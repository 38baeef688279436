"""Criteria and uncertainties of UQ learners: when they stop."""

from observe import counts, engine, note, program, raised, unordered

from rose.metrics import CUSTOM_UQ, LESS_THAN_THRESHOLD, MEAN_SQUARED_ERROR_MSE
from rose.uq import ParallelUQLearner, SeqUQLearner
from stages import UQ, criterion, register, stage, states_of, told, uncertainty


async def sequential():
    learner = SeqUQLearner(await engine())
    register(learner, *UQ)
    return learner


async def end_of(values, threshold, **options):
    learner = await sequential()
    criterion(learner, values, threshold, **options)
    return told(await states_of(learner.start(model_names=["m"], max_iter=5)))[-1]


@program
async def known_metrics():
    note("accuracy", await end_of([0.1, 0.9, 1.0], 0.9))


@program
async def lower_is_better():
    note("mse", await end_of([3.0, 0.5, 0.1], 0.4, metric=MEAN_SQUARED_ERROR_MSE))


@program
async def own_metric():
    note("mine", await end_of([3.0, 0.5, 0.1], 0.4, metric="mine", operator=LESS_THAN_THRESHOLD))


@program
async def own_metric_above():
    note("mine", await end_of([1, 2, 3], 3, metric="mine", operator=">="))


@program
async def own_metric_without_operator():
    with raised("error"):
        await end_of([3.0], 0.4, metric="mine")


@program
async def operator_of_a_known_metric():
    note("accuracy", await end_of([0.95, 0.5, 0.1], 0.9, operator="<"))


@program
async def not_met():
    learner = await sequential()
    criterion(learner, [0.1])
    states = await states_of(learner.start(model_names=["m"], max_iter=2))
    note("states", told(states))
    note("history", [state.metric_history for state in states])
    note("results", learner.get_metric_results())


@program
async def no_number():
    learner = await sequential()
    criterion(learner, ["much"])
    with raised("error"):
        await states_of(learner.start(model_names=["m"], max_iter=1))


@program
async def numbers_as_text():
    note("text", await end_of(["0.95"], 0.9))


@program
async def mean_of_models():
    learner = await sequential()
    criterion(learner, [0.1, 0.3, 0.95, 0.97])
    states = await states_of(learner.start(model_names=["a", "b"]))
    note("states", told(states))
    note("values", [unordered(state.criterion_values) for state in states])


@program
async def one_model_done_first():
    learner = await sequential()

    @learner.as_stop_criterion("model_accuracy", threshold=0.9, as_executable=False)
    async def accuracy(*args, **kwargs):
        return 0.95 if kwargs["--model_name"] == "a" else 0.5

    states = await states_of(learner.start(model_names=["a", "b"], max_iter=3))
    note("states", told(states))
    note("values", [state.criterion_values for state in states])


@program
async def uncertainty_met():
    learner = await sequential()
    uncertainty(learner, [0.8, 0.05])
    states = await states_of(learner.start(model_names=["m"], max_iter=5))
    note("states", told(states))
    note("values", [state.uq_value for state in states])
    note("selections", counts()["active_learn"])


@program
async def uncertainty_results():
    learner = await sequential()
    uncertainty(learner, [0.8, 0.6])
    await states_of(learner.start(model_names=["m"], max_iter=2))
    note("results", learner.get_uncertainty_results())


@program
async def results_beside_a_criterion():
    learner = await sequential()
    uncertainty(learner, [0.8, 0.6])
    criterion(learner)
    await states_of(learner.start(model_names=["m"]))
    note("metrics", learner.get_metric_results())
    note("uncertainties", learner.get_uncertainty_results())


@program
async def own_uncertainty():
    learner = await sequential()
    uncertainty(learner, [0.1, 0.9], 0.5, metric=CUSTOM_UQ, operator=">")
    note("states", told(await states_of(learner.start(model_names=["m"], max_iter=3))))


@program
async def results_by_learner():
    learner = ParallelUQLearner(await engine())
    register(learner, *UQ)
    criterion(learner, [0.95])
    await states_of(learner.start(learner_names=["a", "b"], model_names=["m"]))
    note("metrics", learner.get_metric_results())
    note("values", learner.metric_values_per_iteration.get("learner-a"))


@program
async def comparing():
    learner = await sequential()
    note("known", [learner.compare_metric("model_accuracy", value, 0.9) for value in (0.8, 0.9, 1.0)])
    note("own", [learner.compare_metric("mine", 1, 2, operator=o) for o in ("<", ">", "<=", ">=", "==")])
    with raised("no operator"):
        learner.compare_metric("mine", 1, 2)
    with raised("unknown operator"):
        learner.compare_metric("mine", 1, 2, operator="~")
    with raised("equal"):
        learner.compare_metric("mine", 1, 2, operator="=")


@program
async def called_criterion():
    learner = await sequential()

    @learner.as_stop_criterion("model_accuracy", threshold=0.9, as_executable=False)
    async def accuracy(x):
        return x

    note("results", [await accuracy(0.5), await accuracy(0.95)])
    note("values", learner.metric_values_per_iteration)


@program
async def criterion_as_dict():
    learner = await sequential()
    learner.as_stop_criterion("model_accuracy", threshold=0.9, as_executable=False)(
        stage("criterion", {"metric_value": 0.95})
    )
    states = []
    with raised("error"):
        await states_of(learner.start(model_names=["m"], max_iter=2), states)
    note("states", told(states))


@program
async def uncertainty_and_criterion():
    learner = await sequential()
    uncertainty(learner, [0.8, 0.05])
    criterion(learner, [0.1])
    states = await states_of(learner.start(model_names=["m"], max_iter=5))
    note("states", told(states))
    note("criteria", counts()["criterion"])
