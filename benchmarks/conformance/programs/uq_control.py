"""How UQ learners are ended and directed: break, stop, errors, hooks, engines."""

import asyncio

from observe import counts, engine, note, program, raised, seen, unordered

from rose.uq import ParallelUQLearner, SeqUQLearner
from stages import UQ, criterion, register, stage, states_of, told


async def sequential(**results):
    learner = SeqUQLearner(await engine())
    register(learner, *UQ, **results)
    return learner


@program
async def broken_off():
    learner = await sequential()
    async for state in learner.start(model_names=["m"], max_iter=9):
        if state.iteration == 1:
            break
    note("calls", counts())


@program
async def stopped_between():
    learner = await sequential()
    states = []
    async for state in learner.start(model_names=["m"], max_iter=9):
        states.append(state)
        learner.stop()
    note("states", told(states))
    note("stopped", learner.is_stopped)
    note("simulations", counts()["simulation"])


@program
async def stopped_in_parallel():
    learner = ParallelUQLearner(await engine())
    register(learner, *UQ)
    states = []
    async for state in learner.start(learner_names=["a", "b"], model_names=["m"], max_iter=30):
        states.append(state)
        learner.stop()
    note("soon over", len(states) < 10)
    note("stopped", learner.is_stopped)


@program
async def broken_off_in_parallel():
    learner = ParallelUQLearner(await engine())
    register(learner, *UQ)
    async for _ in learner.start(learner_names=["a", "b"], model_names=["m"], max_iter=400):
        break
    await asyncio.sleep(0.5)
    before = counts()["simulation"]
    await asyncio.sleep(0.5)
    note("later simulations", counts()["simulation"] - before > 0)


@program
async def failing_task():
    learner = await sequential(training=ValueError("bad data"))
    with raised("error"):
        await states_of(learner.start(model_names=["m"], max_iter=1))
    note("selections", counts().get("active_learn", 0))


@program
async def cause_of_an_error():
    learner = await sequential(active_learn=ValueError("bad data"))
    try:
        await states_of(learner.start(model_names=["m"], max_iter=1))
    except Exception as error:
        note("names the cause", "bad data" in str(error))


@program
async def failing_command():
    learner = await sequential()

    @learner.simulation_task
    async def simulate(*args, **kwargs):
        return "false"

    with raised("error"):
        await states_of(learner.start(model_names=["m"], max_iter=1))


@program
async def failing_learner():
    learner = ParallelUQLearner(await engine())
    register(learner, *UQ)

    @learner.active_learn_task(as_executable=False)
    async def choose(*args, **kwargs):
        if kwargs["--who"] == "a":
            raise ValueError("bad data")
        seen("chosen", args, kwargs)

    from rose.learner import TaskConfig
    from rose.uq import UQLearnerConfig

    configs = {name: UQLearnerConfig(active_learn=TaskConfig(kwargs={"--who": name})) for name in ("a", "b")}
    states = []
    with raised("error"):
        run = learner.start(learner_names=["a", "b"], model_names=["m"], max_iter=2, learner_configs=configs)
        await states_of(run, states)
    note("of the other", [told([state])[0] for state in states])
    note("learners", unordered({state.learner_id for state in states}))


@program
async def register_task_replaced():
    learner = await sequential()
    criterion(learner, [0.95])
    original, names = learner._register_task, []

    def watch(task, deps=None):
        names.append(task["func"].__name__)
        return original(task, deps) if deps is not None else original(task)

    learner._register_task = watch
    await states_of(learner.start(model_names=["m"]))
    note("seen", names)


@program
async def criterion_hook():
    class Patient(SeqUQLearner):
        def _check_stop_criterion(self, result):
            stop, value = super()._check_stop_criterion(result)
            return stop and value > 0.99, value

    learner = Patient(await engine())
    register(learner, *UQ)
    criterion(learner, [0.95, 0.995])
    note("states", told(await states_of(learner.start(model_names=["m"], max_iter=3))))


@program
async def comparing_hook():
    class Tolerant(SeqUQLearner):
        def compare_metric(self, metric_name, metric_value, threshold, operator=""):
            return metric_value > 0.4

    learner = Tolerant(await engine())
    register(learner, *UQ)
    criterion(learner)
    note("states", told(await states_of(learner.start(model_names=["m"], max_iter=5))))


@program
async def state_hook():
    class Telling(SeqUQLearner):
        def build_iteration_state(self, *args, **kwargs):
            state = super().build_iteration_state(*args, **kwargs)
            state.state["extra"] = state.iteration * 10
            return state

    learner = Telling(await engine())
    register(learner, *UQ)
    states = await states_of(learner.start(model_names=["m"], max_iter=2))
    note("extra", [state.get("extra") for state in states])


@program
async def subclass_start():
    class Mine(SeqUQLearner):
        async def start(self, rounds):
            async for state in super().start(model_names=["m"], max_iter=rounds):
                yield state

    learner = Mine(await engine())
    register(learner, *UQ)
    note("states", told(await states_of(learner.start(2))))


@program
async def started_twice():
    learner = await sequential()
    first = await states_of(learner.start(model_names=["m"], max_iter=1))
    second = await states_of(learner.start(model_names=["m"], max_iter=1))
    note("iterations", [state.iteration for state in first + second])


@program
async def closed_by_the_engine():
    learner = await sequential()
    await states_of(learner.start(model_names=["m"], max_iter=1))
    with raised("asyncflow.shutdown"):
        await learner.asyncflow.shutdown()


@program
async def closed_by_the_learner():
    learner = await sequential()
    await states_of(learner.start(model_names=["m"], max_iter=1))
    with raised("shutdown"):
        await learner.shutdown()


@program
async def two_learners_on_one_engine():
    flow = await engine()
    learners = [SeqUQLearner(flow), SeqUQLearner(flow)]
    for learner in learners:
        register(learner, *UQ)
    runs = [states_of(learner.start(model_names=["m"], max_iter=2)) for learner in learners]
    note("states", [told(states) for states in await asyncio.gather(*runs)])


@program
async def next_config():
    learner = await sequential()
    with raised("set_next_config"):
        getattr(learner, "set_next_config", lambda config: None)(None)
    note("has it", hasattr(learner, "set_next_config"))


@program
async def stage_missing_in_parallel():
    learner = ParallelUQLearner(await engine())
    register(learner, "simulation", "training")
    with raised("no selection"):
        await states_of(learner.start(learner_names=["a", "b"], model_names=["m"], max_iter=1))
    learner.active_learn_task(as_executable=False)(stage("active_learn"))
    with raised("no end"):
        await states_of(learner.start(learner_names=["a", "b"], model_names=["m"]))
