"""SequentialActiveLearner."""

import warnings

from observe import arguments, counts, engine, keywords, note, program, raised

from rose.learner import LearnerConfig, TaskConfig
from stages import ACTIVE, criterion, register, stage, states_of, told


async def sequential(*slots, **results):
    from rose.al import SequentialActiveLearner

    learner = SequentialActiveLearner(await engine())
    register(learner, *(slots or ACTIVE), **results)
    return learner


@program
async def dataflow():
    learner = await sequential()
    criterion(learner)
    note("states", told(await states_of(learner.start())))
    for slot in (*ACTIVE, "criterion"):
        note(slot, arguments(slot))


@program
async def after_the_last_iteration():
    learner = await sequential()
    note("states", told(await states_of(learner.start(max_iter=3))))
    note("selections", counts()["active_learn"])
    note("simulations", counts()["simulation"])
    note("trainings", counts()["training"])


@program
async def without_simulation():
    learner = await sequential("training", "active_learn")
    criterion(learner)
    await states_of(learner.start(skip_simulation_step=True))
    note("training", arguments("training"))
    note("active_learn", arguments("active_learn"))


@program
async def without_pre_loop():
    learner = await sequential()
    criterion(learner)
    await states_of(learner.start(skip_pre_loop=True))
    note("active_learn", arguments("active_learn"))
    note("calls", counts())


@program
async def configured():
    learner = await sequential()
    criterion(learner)
    config = LearnerConfig(
        simulation=TaskConfig(kwargs={"n": 1}),
        training={0: TaskConfig(kwargs={"lr": 0.1}), -1: TaskConfig(kwargs={"lr": 0.2})},
        active_learn=TaskConfig(args=("x",)),
        criterion=TaskConfig(kwargs={"split": "test"}),
    )
    states = await states_of(learner.start(initial_config=config))
    note("simulation", keywords("simulation"))
    note("training", keywords("training"))
    note("active_learn", arguments("active_learn"))
    note("criterion", keywords("criterion"))
    note("current", [state.current_config == config for state in states])


@program
async def next_config():
    learner = await sequential()
    criterion(learner)
    async for state in learner.start():
        if state.iteration == 0:
            task = TaskConfig(kwargs={"lr": 5})
            learner.set_next_config(LearnerConfig(training=task, active_learn=task, simulation=task))
    for slot in ACTIVE:
        note(slot, keywords(slot))


@program
async def state():
    learner = await sequential(
        simulation=lambda count: {"samples": count}, training={"loss": 0.5}, active_learn={"chosen": 3}
    )
    criterion(learner)
    states = await states_of(learner.start())
    note("values", [[state.samples, state.loss, state.chosen] for state in states])
    note("metric", [states[-1].metric_name, states[-1].metric_threshold, states[-1].metric_history])


@program
async def getters():
    learner = await sequential()
    note("before", [learner.get_current_state(), learner.get_max_iterations(), learner.learner_id])
    async for state in learner.start(max_iter=3):
        note("within", [learner.get_current_state() is state, learner.get_max_iterations()])
        break
    criterion(learner)
    await states_of(learner.start())
    note("without", learner.get_max_iterations())


@program
async def metric_results():
    learner = await sequential()
    criterion(learner)
    await states_of(learner.start())
    note("results", learner.get_metric_results())
    note("values", learner.metric_values_per_iteration)


@program
async def what_is_needed():
    learner = await sequential("training")
    for name, options in {"simulation": {}, "selection": {"skip_simulation_step": True}}.items():
        with raised(name):
            await states_of(learner.start(max_iter=1, **options))
    register(learner, *ACTIVE)
    with raised("end"):
        await states_of(learner.start())


@program
async def messages():
    learner = await sequential("training")
    for options in ({}, {"skip_simulation_step": True}):
        try:
            await states_of(learner.start(max_iter=1, **options))
        except ValueError as error:
            note(f"message {len(options)}", str(error))


@program
async def broken_off():
    learner = await sequential()
    async for state in learner.start(max_iter=9):
        if state.iteration == 1:
            break
    note("calls", counts())


@program
async def stopped():
    learner = await sequential()
    states = []
    async for state in learner.start(max_iter=9):
        states.append(state)
        learner.stop()
    note("states", told(states))
    note("stopped", learner.is_stopped)


@program
async def taught():
    learner = await sequential()
    criterion(learner)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        state = await learner.teach(max_iter=5)
    note("state", told([state]))


@program
async def awaited():
    learner = await sequential()
    with raised("await start"):
        await learner.start(max_iter=1)


@program
async def called_stage():
    learner = await sequential()
    train = learner.training_task(as_executable=False)(stage("training"))
    note("result", await train(1))
    note("calls", arguments("training"))


@program
async def commands():
    learner = await sequential("training")

    @learner.simulation_task
    async def simulate(*args, **kwargs):
        return f"echo simulated {kwargs['n']}"

    learner.active_learn_task(as_executable=False)(stage("active_learn"))
    criterion(learner, [0.95])
    config = LearnerConfig(simulation=TaskConfig(kwargs={"n": 3}))
    await states_of(learner.start(initial_config=config))
    note("training", [[text.strip() for text in args] for args in arguments("training")])


@program
async def failing():
    learner = await sequential(active_learn=ValueError("bad data"))
    with raised("error"):
        await states_of(learner.start(max_iter=2))


@program
async def criterion_as_dict():
    learner = await sequential()
    learner.as_stop_criterion("model_accuracy", threshold=0.9, as_executable=False)(
        stage("criterion", {"metric_value": 0.95, "model_accuracy": 0.95})
    )
    states = []
    with raised("error"):
        await states_of(learner.start(max_iter=2), states)
    note("states", told(states))


@program
async def two_on_one_engine():
    from rose.al import SequentialActiveLearner

    flow = await engine()
    learners = [SequentialActiveLearner(flow), SequentialActiveLearner(flow)]
    for learner in learners:
        register(learner, *ACTIVE)
        criterion(learner, [0.95])
    note("states", [told(await states_of(learner.start())) for learner in learners])


@program
async def subclassed():
    from rose.al import SequentialActiveLearner

    class Careful(SequentialActiveLearner):
        def compare_metric(self, metric_name, metric_value, threshold, operator=""):
            return metric_value > 0.4

    learner = Careful(await engine())
    register(learner, *ACTIVE)
    criterion(learner)
    note("states", told(await states_of(learner.start())))


@program
async def hook_of_tasks():
    learner = await sequential()
    criterion(learner, [0.95])
    original, names = learner._register_task, []

    def watch(task, deps=None):
        names.append(task["func"].__name__)
        return original(task, deps)

    learner._register_task = watch
    await states_of(learner.start(max_iter=1))
    note("seen", names[:4])
