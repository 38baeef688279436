"""UQ learners: who gets what from whom, and how often."""

from observe import arguments, calls, counts, engine, keywords, note, program, raised, unordered

from rose.uq import ParallelUQLearner, SeqUQLearner
from stages import UQ, criterion, register, stage, states_of, told, uncertainty


async def sequential(**results):
    learner = SeqUQLearner(await engine())
    register(learner, *UQ, **results)
    return learner


@program
async def one_model():
    learner = await sequential()
    criterion(learner)
    states = await states_of(learner.start(model_names=["m"]))
    note("states", told(states))
    note("calls", counts())
    for slot in ("simulation", "training", "prediction", "active_learn", "criterion"):
        note(slot, arguments(slot))


@program
async def with_uncertainty():
    learner = await sequential(prediction=0.5)
    uncertainty(learner)
    criterion(learner)
    states = await states_of(learner.start(model_names=["m"], num_predictions=2))
    note("uncertainty", arguments("uncertainty"))
    note("active_learn", arguments("active_learn"))
    note("uq_value", [state.uq_value for state in states])
    note("calls", counts())


@program
async def several_models():
    learner = await sequential()
    criterion(learner, [0.1, 0.1, 0.95])
    states = await states_of(learner.start(model_names=["a", "b"], num_predictions=2))
    note("states", told(states))
    note("training", unordered(keywords("training")))
    note("prediction", unordered(keywords("prediction")))
    note("criterion", unordered(keywords("criterion")))
    note("simulations", counts()["simulation"])


@program
async def prediction_shape():
    learner = await sequential(prediction=0.5)
    uncertainty(learner)
    async for _ in learner.start(model_names=["a", "b", "c"], num_predictions=2, max_iter=1):
        break
    note("uncertainty", arguments("uncertainty")[0])


@program
async def shape_without_uncertainty():
    learner = await sequential(prediction=0.5)
    async for _ in learner.start(model_names=["a", "b", "c"], num_predictions=2, max_iter=1):
        break
    note("active_learn", arguments("active_learn")[0])


@program
async def shape_of_one():
    learner = await sequential(prediction=0.5)
    async for _ in learner.start(model_names=["a"], max_iter=1):
        break
    note("active_learn", arguments("active_learn")[0])


@program
async def after_the_last_iteration():
    learner = await sequential()
    states = await states_of(learner.start(model_names=["a", "b"], max_iter=3))
    note("states", told(states))
    note("selections", counts()["active_learn"])
    note("simulations", counts()["simulation"])
    note("trainings", counts()["training"])
    note("predictions", counts()["prediction"])


@program
async def skipped_pre_loop():
    learner = await sequential()
    criterion(learner)
    await states_of(learner.start(model_names=["m"], skip_pre_loop=True))
    note("calls", counts())
    note("first", arguments("active_learn")[0])


@program
async def order_of_calls():
    learner = await sequential()
    uncertainty(learner)
    criterion(learner)
    await states_of(learner.start(model_names=["m"]))
    note("stages", [name for name, *_ in calls()])


@program
async def parallel_learners():
    learner = ParallelUQLearner(await engine())
    register(learner, *UQ)
    criterion(learner, [0.95])
    states = await states_of(learner.start(learner_names=["a", "b"], model_names=["m", "n"]))
    note("learners", unordered([state.learner_id, *told([state])[0]] for state in states))
    note("trainings", unordered(keywords("training")))
    note("selections", counts()["active_learn"])


@program
async def integer_names():
    learner = ParallelUQLearner(await engine())
    register(learner, *UQ)
    criterion(learner, [0.95])
    states = await states_of(learner.start(learner_names=[0, 1], model_names=["m"]))
    note("learners", unordered(state.learner_id for state in states))
    note("metrics", learner.get_metric_results())


@program
async def executables():
    learner = SeqUQLearner(await engine())
    for slot in UQ:

        async def command(*args, slot=slot, **kwargs):
            return f"echo {slot} {kwargs.get('--model_name', '')}"

        getattr(learner, f"{slot}_task")(command)
    criterion(learner, [0.95])
    await states_of(learner.start(model_names=["m"]))
    note("criterion", [[text.strip() for text in args] for args in arguments("criterion")])


@program
async def number_of_a_command():
    learner = await sequential()

    @learner.as_stop_criterion("model_accuracy", threshold=0.9)
    async def accuracy(*args, **kwargs):
        return "echo 0.95"

    note("states", told(await states_of(learner.start(model_names=["m"]))))


@program
async def taught():
    learner = ParallelUQLearner(await engine())
    register(learner, *UQ)
    criterion(learner, [0.95])
    results = await learner.teach(learner_names=["a", "b"], model_names=["m"])
    note("values", [state.metric_value for state in results])
    note("learners", [state.learner_id for state in results])


@program
async def taught_sequentially():
    learner = await sequential()
    uncertainty(learner)
    criterion(learner)
    results = await learner.teach(model_names=["m"])
    note("results", [{key: result[key] for key in ("iterations", "uq", "criterion")} for result in results])


@program
async def what_is_needed():
    learner = SeqUQLearner(await engine())
    register(learner, "simulation", "training", "active_learn")
    with raised("no prediction"):
        await states_of(learner.start(model_names=["m"], max_iter=1))
    learner.prediction_task(as_executable=False)(stage("prediction"))
    with raised("no end"):
        await states_of(learner.start(model_names=["m"]))


@program
async def synchronous_functions():
    learner = await sequential()

    @learner.active_learn_task(as_executable=False)
    def choose(*args, **kwargs):
        return 1

    criterion(learner, [0.95])
    with raised("error"):
        await states_of(learner.start(model_names=["m"]))
