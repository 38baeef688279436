"""Reinforcement learners."""

import asyncio

from observe import arguments, counts, engine, keywords, note, program, raised, unordered

from rose.learner import LearnerConfig, TaskConfig
from stages import REINFORCEMENT, criterion, register, stage, states_of, told

REWARDS = [10.0, 50.0, 210.0]


async def sequential(*slots, **results):
    from rose.rl.reinforcement_learner import SequentialReinforcementLearner

    learner = SequentialReinforcementLearner(await engine())
    register(learner, *(slots or REINFORCEMENT), **results)
    return learner


def reward(learner, values=tuple(REWARDS)):
    criterion(learner, values, 200.0, metric="reward", operator=">")


@program
async def dataflow():
    learner = await sequential()
    reward(learner)
    note("states", told(await states_of(learner.start())))
    for slot in (*REINFORCEMENT, "criterion"):
        note(slot, arguments(slot))


@program
async def after_the_last_iteration():
    learner = await sequential()
    reward(learner, [1.0])
    note("states", told(await states_of(learner.start(max_iter=3))))
    note("environments", counts()["environment"])
    note("updates", counts()["update"])


@program
async def without_a_criterion():
    learner = await sequential()
    states = []
    with raised("error"):
        await states_of(learner.start(max_iter=2), states)
    note("states", told(states))


@program
async def criterion_as_dict():
    learner = await sequential()

    @learner.as_stop_criterion("reward", threshold=200.0, operator=">", as_executable=False)
    async def test(*args, **kwargs):
        return {"metric_value": 250.0, "episodes": 4}

    states = []
    with raised("error"):
        states = await states_of(learner.start(max_iter=2))
    note("states", told(states))
    note("episodes", [state.get("episodes") for state in states])


@program
async def state():
    learner = await sequential(environment={"steps": 5}, update=lambda count: {"loss": count})
    reward(learner)
    states = await states_of(learner.start())
    note("values", [[state.steps, state.loss] for state in states])


@program
async def configured():
    learner = await sequential()
    reward(learner)
    config = LearnerConfig(
        environment=TaskConfig(kwargs={"episodes": 3}), update={0: TaskConfig(kwargs={"lr": 1}), -1: TaskConfig()}
    )
    await states_of(learner.start(initial_config=config))
    note("environment", keywords("environment"))
    note("update", keywords("update"))


@program
async def next_config():
    learner = await sequential()
    reward(learner)
    async for state in learner.start():
        if state.iteration == 0:
            learner.set_next_config(LearnerConfig(update=TaskConfig(kwargs={"lr": 5})))
    note("update", keywords("update"))
    note("max_iter", learner.get_max_iterations())


@program
async def without_environment():
    learner = await sequential("update")
    reward(learner)
    await states_of(learner.start(skip_environment_step=True))
    note("update", arguments("update"))


@program
async def without_pre_loop():
    learner = await sequential()
    reward(learner)
    await states_of(learner.start(skip_pre_loop=True))
    note("calls", counts())
    note("criterion", arguments("criterion")[0])


@program
async def what_is_needed():
    from rose.rl.reinforcement_learner import SequentialReinforcementLearner

    learner = SequentialReinforcementLearner(await engine())
    with raised("environment"):
        await states_of(learner.start(max_iter=1))
    with raised("update"):
        await states_of(learner.start(max_iter=1, skip_environment_step=True))
    register(learner, *REINFORCEMENT)
    with raised("end"):
        await states_of(learner.start())


@program
async def functions():
    learner = await sequential()
    task = learner.environment_function
    note("environment", [task["func"].__name__, task["as_executable"]])
    note("update", learner.update_function["func"].__name__)
    note("result", await learner.environment_task(as_executable=False)(stage("environment"))(3))


@program
async def learned():
    learner = await sequential()
    reward(learner)
    note("state", told([await learner.learn(max_iter=5)]))


@program
async def broken_off():
    learner = await sequential()
    reward(learner, [1.0])
    async for _ in learner.start(max_iter=5):
        break
    await asyncio.sleep(0.3)
    note("calls", counts())


async def parallel():
    from rose.rl.reinforcement_learner import ParallelReinforcementLearner

    learner = ParallelReinforcementLearner(await engine())
    register(learner, *REINFORCEMENT)
    return learner


@program
async def two_learners():
    learner = await parallel()
    reward(learner, [250.0])
    states = await states_of(learner.start(parallel_learners=2))
    note("states", unordered([state.learner_id, *told([state])[0]] for state in states))
    note("results", learner.get_metric_results())


@program
async def parallel_configured():
    learner = await parallel()
    reward(learner, [250.0])
    configs = [None, LearnerConfig(environment=TaskConfig(kwargs={"seed": 1}))]
    await states_of(learner.start(parallel_learners=2, learner_configs=configs))
    note("environment", unordered(keywords("environment")))


@program
async def parallel_wrong_numbers():
    learner = await parallel()
    reward(learner)
    with raised("one learner"):
        await states_of(learner.start(parallel_learners=1, max_iter=1))
    with raised("configurations"):
        await states_of(learner.start(parallel_learners=2, max_iter=1, learner_configs=[None]))


@program
async def parallel_learned():
    learner = await parallel()
    reward(learner, [250.0])
    states = await learner.learn(parallel_learners=2)
    note("states", [[state.learner_id, *told([state])[0]] for state in states])


@program
async def environments_in_parallel():
    from rose.rl import Experience, ExperienceBank
    from rose.rl.reinforcement_learner import ParallelExperience

    learner = ParallelExperience(await engine())
    with raised("run"):
        for name in ("one", "two"):

            @learner.environment_task(name=name)
            async def collect(*args, name=name, **kwargs):
                bank = ExperienceBank(session_id=f"experience_bank_{name}")
                bank.add(Experience(1, 2, 3.0, 4, False))
                bank.save()
                return "true"

        learner.update_task(as_executable=False)(stage("update"))
        reward(learner, [250.0])
        note("states", told(await states_of(learner.start(max_iter=1))))


@program
async def getters():
    learner = await sequential()
    reward(learner)
    async for state in learner.start(max_iter=3):
        note(f"now {state.iteration}", [learner.get_current_state().iteration, learner.get_max_iterations()])
    note("values", learner.get_metric_results())


@program
async def stopped():
    learner = await sequential()
    reward(learner, [1.0])
    states = []
    async for state in learner.start(max_iter=9):
        states.append(state)
        learner.stop()
    note("states", told(states))
    note("stopped", learner.is_stopped)


@program
async def failing():
    learner = await sequential(update=ValueError("bad data"))
    reward(learner)
    with raised("error"):
        await states_of(learner.start(max_iter=1))
