"""Configurations of UQ learners: what reaches a task, and when."""

from observe import arguments, engine, keywords, note, program, raised, unordered

from rose.learner import LearnerConfig, TaskConfig
from rose.uq import ParallelUQLearner, SeqUQLearner, UQLearnerConfig
from stages import UQ, criterion, in_turn, register, stage, states_of, told, uncertainty


async def sequential():
    learner = SeqUQLearner(await engine())
    register(learner, *UQ)
    criterion(learner)
    return learner


@program
async def keywords_of_stages():
    learner = await sequential()
    uncertainty(learner)
    config = UQLearnerConfig(
        simulation=TaskConfig(kwargs={"--n": 5}),
        training=TaskConfig(kwargs={"--epochs": 2}),
        prediction=TaskConfig(kwargs={"--batch": 8}),
        active_learn=TaskConfig(kwargs={"--k": 3}),
        uncertainty=TaskConfig(kwargs={"--u": 1}),
    )
    await states_of(learner.start(model_names=["m"], learning_config=config))
    for slot in (*UQ, "uncertainty"):
        note(slot, keywords(slot))


@program
async def positional():
    learner = await sequential()
    config = UQLearnerConfig(training=TaskConfig(args=(1, "two")), active_learn=TaskConfig(args=("x",)))
    await states_of(learner.start(model_names=["m"], learning_config=config))
    note("training", arguments("training"))
    note("active_learn", arguments("active_learn"))


@program
async def by_iteration():
    learner = await sequential()
    schedule = {0: {"kwargs": {"--lr": 0.1}}, 2: {"kwargs": {"--lr": 0.3}}, -1: {"kwargs": {"--lr": 0.0}}}
    config = UQLearnerConfig(
        training=learner.create_iteration_schedule("training", schedule),
        active_learn={1: TaskConfig(kwargs={"--k": 1})},
    )
    await states_of(learner.start(model_names=["m"], learning_config=config))
    note("training", keywords("training"))
    note("active_learn", keywords("active_learn"))


@program
async def adaptive():
    learner = await sequential()
    config = UQLearnerConfig(
        simulation=learner.create_adaptive_schedule("simulation", lambda i: {"kwargs": {"--n": 10 * (i + 1)}})
    )
    await states_of(learner.start(model_names=["m"], learning_config=config))
    note("simulation", keywords("simulation"))


@program
async def adaptive_beyond_hundred():
    learner = await sequential()
    schedule = learner.create_adaptive_schedule("training", lambda i: {"kwargs": {"--i": i}})
    config = UQLearnerConfig(training=schedule)
    note("early", config.get_task_config("training", 99).kwargs)
    late = config.get_task_config("training", 150)
    note("late", late and late.kwargs)


@program
async def of_the_criterion():
    learner = await sequential()
    config = UQLearnerConfig(criterion=TaskConfig(kwargs={"--split": "test"}))
    await states_of(learner.start(model_names=["m"], learning_config=config))
    note("criterion", keywords("criterion")[0])


@program
async def by_learner():
    learner = ParallelUQLearner(await engine())
    register(learner, *UQ)
    criterion(learner, [0.95])
    configs = {
        "a": UQLearnerConfig(simulation=TaskConfig(kwargs={"--n": 1})),
        "b": UQLearnerConfig(simulation=TaskConfig(kwargs={"--n": 2})),
    }
    await states_of(learner.start(learner_names=["a", "b"], model_names=["m"], learner_configs=configs))
    note("simulation", unordered(keywords("simulation")))


@program
async def wrong_number():
    learner = ParallelUQLearner(await engine())
    register(learner, *UQ)
    with raised("one of two"):
        configs = {"a": UQLearnerConfig()}
        await states_of(learner.start(learner_names=["a", "b"], model_names=["m"], max_iter=1, learner_configs=configs))


@program
async def none_for_one():
    learner = ParallelUQLearner(await engine())
    register(learner, *UQ)
    criterion(learner, [0.95])
    configs = {"a": None, "b": UQLearnerConfig(training=TaskConfig(kwargs={"--x": 1}))}
    await states_of(learner.start(learner_names=["a", "b"], model_names=["m"], learner_configs=configs))
    note("training", unordered(keywords("training")))


@program
def models():
    config = LearnerConfig(
        simulation=TaskConfig(args=(1,), kwargs={"a": 2}), training={0: TaskConfig(), -1: TaskConfig()}
    )
    note("values", [config.simulation.args, config.simulation.kwargs, sorted(config.training)])
    note("of iterations", [config.get_task_config("simulation", 7).kwargs, config.get_task_config("update", 0)])
    note("dumped", config.model_dump(exclude_none=True)["simulation"])
    with raised("unknown slot"):
        LearnerConfig(simulate=TaskConfig())
    with raised("unknown field"):
        TaskConfig(arguments=(1,))


@program
def slots():
    task = TaskConfig(kwargs={"a": 1})
    config = LearnerConfig(environment=task, update=task, criterion=task, prediction=task, active_learn=task)
    names = "environment", "update", "criterion", "prediction", "active_learn"
    note("found", [config.get_task_config(name, 3).kwargs for name in names])
    note("uncertainty", UQLearnerConfig(uncertainty=task).get_task_config("uncertainty", 0).kwargs)


@program
async def current_config():
    learner = await sequential()
    config = UQLearnerConfig(training=TaskConfig(kwargs={"--lr": 1}))
    states = await states_of(learner.start(model_names=["m"], learning_config=config))
    note("same", [state.current_config == config for state in states])
    without = await sequential()
    criterion(without, [0.95] * 9)
    note("none", [s.current_config is None for s in await states_of(without.start(model_names=["m"]))])


@program
async def task_description_default():
    learner = await sequential()

    @learner.training_task(as_executable=False)
    async def train(*args, task_description={"shell": True}, **kwargs):  # noqa: B006
        return sorted(kwargs)

    states = await states_of(learner.start(model_names=["m"]))
    note("states", told(states)[-1])
    note("prediction", arguments("prediction")[0])


@program
async def task_description_configured():
    learner = await sequential()
    config = UQLearnerConfig(training=TaskConfig(kwargs={"task_description": {"shell": True}, "--x": 1}))
    await states_of(learner.start(model_names=["m"], learning_config=config))
    note("training", keywords("training")[0])


@program
async def schedules_are_configs():
    learner = await sequential()
    made = learner.create_iteration_schedule("training", {0: {"args": (1,)}, 3: {"kwargs": {"a": 1}}})
    note("types", [type(config).__name__ for config in made.values()])
    note("values", {key: [config.args, config.kwargs] for key, config in made.items()})


@program
async def query_size():
    learner = await sequential()
    for size in (5, 0.1, 0):
        with raised(f"size {size}"):
            learner.uncertainty_quantification("predictive_entropy", query_size=size, threshold=0.1)(
                stage("uncertainty", in_turn([0.5]))
            )
