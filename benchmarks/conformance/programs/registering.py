"""Decorators, and the dictionaries that they leave at the learner."""

from observe import engine, note, program, raised

from rose.metrics import MODEL_ACCURACY, PREDICTIVE_ENTROPY
from rose.uq import ParallelUQLearner, SeqUQLearner


async def something(*args, **kwargs):
    return 1


@program
async def bare_and_called():
    learner = SeqUQLearner(await engine())
    bare = learner.simulation_task(something)
    called = learner.training_task(as_executable=False)(something)
    note("callable", [callable(bare), callable(called), bare.__name__, called.__name__])
    note("local", [await bare(1), await called()])


@program
async def function_dicts():
    learner = SeqUQLearner(await engine())
    note("before", [learner.simulation_function, learner.criterion_function, learner.uncertainty_function])
    learner.simulation_task(as_executable=False)(something)
    task = learner.simulation_function
    note("keys", [key in task for key in ("args", "as_executable", "decor_kwargs", "func", "kwargs", "log_params")])
    note("values", [task["func"] is something, task["args"], task["kwargs"], task["as_executable"]])
    note("more", [task["decor_kwargs"], task["log_params"]])


@program
async def executable_by_default():
    learner = SeqUQLearner(await engine())
    learner.training_task(something)
    learner.prediction_task(as_executable=False)(something)
    note("as_executable", [learner.training_function["as_executable"], learner.prediction_function["as_executable"]])


@program
async def criterion_dict():
    learner = SeqUQLearner(await engine())
    learner.as_stop_criterion(MODEL_ACCURACY, threshold=0.9, as_executable=False)(something)
    task = learner.criterion_function
    note("keys", [key in task for key in ("func", "args", "kwargs", "decor_kwargs")])
    note("values", [task[key] for key in ("metric_name", "threshold", "as_executable")])
    note("operator", task["operator"])


@program
async def uncertainty_dict():
    learner = ParallelUQLearner(await engine())
    learner.uncertainty_quantification(PREDICTIVE_ENTROPY, query_size=5, threshold=0.1, as_executable=False)(something)
    task = learner.uncertainty_function
    note("values", [task[key] for key in ("uq_metric_name", "query_size", "threshold")])
    note("function", task["func"] is something)


@program
async def copied_dict():
    learner = SeqUQLearner(await engine())
    learner.simulation_task(as_executable=False)(something)
    copy = learner.simulation_function.copy()
    copy["kwargs"] = {"--n": 3}
    note("original", learner.simulation_function["kwargs"])
    note("result", await learner._register_task(copy))


@program
async def own_decorator():
    learner = SeqUQLearner(await engine())
    learner.labelling_task = learner.register_decorator("labelling")
    decorated = learner.labelling_task(as_executable=False)(something)
    note("dict", [learner.labelling_function["func"] is something, learner.labelling_function["as_executable"]])
    note("result", await decorated())


@program
async def again_replaces():
    learner = SeqUQLearner(await engine())

    @learner.training_task(as_executable=False)
    async def first(*args): ...

    @learner.training_task(as_executable=False)
    async def second(*args): ...

    note("last", learner.training_function["func"].__name__)


@program
async def backend_options():
    learner = SeqUQLearner(await engine())
    with raised("backend"):
        learner.simulation_task(as_executable=False, backend="concurrent")(something)
    note("kept", learner.simulation_function.get("decor_kwargs"))


@program
async def unknown_option():
    learner = SeqUQLearner(await engine())
    with raised("num_gpus"):
        learner.training_task(as_executable=False, num_gpus=1)(something)
    note("kept", learner.training_function.get("decor_kwargs"))


@program
async def logged_parameters():
    learner = SeqUQLearner(await engine())
    learner.training_task(as_executable=False, log_params={"lr": 0.1})(something)
    note("kept", learner.training_function["log_params"])
    note("options", learner.training_function["decor_kwargs"])


@program
async def decorator_twice():
    learner = SeqUQLearner(await engine())
    as_function = learner.training_task(as_executable=False)
    as_function(something)
    note("once", learner.training_function["as_executable"])
    as_function(something)
    note("twice", learner.training_function["as_executable"])


@program
async def argument_types():
    learner = SeqUQLearner(await engine())
    with raised("metric"):
        learner.as_stop_criterion(5, threshold=0.5)
    with raised("threshold"):
        learner.as_stop_criterion(MODEL_ACCURACY, threshold="high")
    with raised("integer threshold"):
        learner.as_stop_criterion(MODEL_ACCURACY, threshold=1)


@program
async def base_attributes():
    flow = await engine()
    learner = SeqUQLearner(flow)
    note("engine", learner.asyncflow is flow)
    note("submits", learner.register_and_submit)
    note("counters", [learner.iteration, learner.metric_values_per_iteration, learner.is_stopped])
    note("uncertainties", learner.uncertainty_values_per_iteration)
    note("results", learner.learner_results)


@program
async def own_attributes():
    learner = SeqUQLearner(await engine())
    learner.learner_id, learner.work_dir, learner.learner_name = 3, "here", "mine"
    note("kept", [learner.learner_id, learner.work_dir, learner.learner_name])


@program
async def utility():
    learner = SeqUQLearner(await engine())

    @learner.utility_task(as_executable=False)
    async def double(x):
        return 2 * x

    note("result", await double(4))


@program
async def engine_types():
    with raised("number"):
        SeqUQLearner("engine")
    with raised("none"):
        SeqUQLearner(None)
    with raised("nothing"):
        SeqUQLearner()
