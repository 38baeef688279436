"""ParallelActiveLearner and AlgorithmSelector."""

import asyncio

from observe import arguments, counts, engine, keywords, note, program, raised, seen, unordered

from rose.learner import LearnerConfig, TaskConfig
from stages import ACTIVE, criterion, register, stage, states_of, told


async def parallel(*slots, **results):
    from rose.al import ParallelActiveLearner

    learner = ParallelActiveLearner(await engine())
    register(learner, *(slots or ACTIVE), **results)
    return learner


async def selector(*algorithms, values=(0.95,), **options):
    from rose.al import AlgorithmSelector

    chooser = AlgorithmSelector(await engine())
    register(chooser, "simulation", "training")
    for name in algorithms:

        @chooser.active_learn_task(name=name)
        async def choose(*args, name=name, **kwargs):
            seen(name, args, kwargs)
            return f"echo {name}"

    criterion(chooser, values, **options)
    return chooser


def worth(results):
    """Register a criterion's function that gives each algorithm its own values, by what it printed."""

    async def value(chosen, *args, **kwargs):
        name = chosen.strip()
        seen("criterion", [name])
        count = sum(given == [name] for given in arguments("criterion"))
        return results[name][min(count, len(results[name])) - 1]

    return value


@program
async def two_learners():
    learner = await parallel()
    criterion(learner, [0.95])
    states = await states_of(learner.start(parallel_learners=2))
    note("states", unordered([state.learner_id, *told([state])[0]] for state in states))
    note("results", learner.get_metric_results())
    note("calls", counts())


@program
async def two_by_default():
    learner = await parallel()
    states = await states_of(learner.start(max_iter=2))
    note("learners", unordered([state.learner_id, state.iteration] for state in states))
    note("simulations", counts()["simulation"])


@program
async def configured():
    learner = await parallel()
    criterion(learner, [0.95])
    configs = [LearnerConfig(training=TaskConfig(kwargs={"lr": 1})), None]
    await states_of(learner.start(parallel_learners=2, learner_configs=configs))
    note("training", unordered(keywords("training")))


@program
async def wrong_numbers():
    learner = await parallel()
    with raised("one learner"):
        await states_of(learner.start(parallel_learners=1, max_iter=1))
    with raised("configurations"):
        await states_of(learner.start(parallel_learners=3, max_iter=1, learner_configs=[None]))


@program
async def message_of_one():
    learner = await parallel()
    try:
        await states_of(learner.start(parallel_learners=1, max_iter=1))
    except ValueError as error:
        note("message", str(error))


@program
async def one_fails():
    learner = await parallel("simulation", "training")

    @learner.active_learn_task(as_executable=False)
    async def choose(*args, who, **kwargs):
        if who == 0:
            raise ValueError("bad data")

    configs = [LearnerConfig(active_learn=TaskConfig(kwargs={"who": i})) for i in range(2)]
    states = []
    with raised("error"):
        await states_of(learner.start(max_iter=2, learner_configs=configs), states)
    note("states", [[state.learner_id, state.iteration] for state in states])


@program
async def parallel_broken_off():
    learner = await parallel()
    async for _ in learner.start(max_iter=400):
        break
    await asyncio.sleep(0.5)
    before = counts()["simulation"]
    await asyncio.sleep(0.5)
    note("later simulations", counts()["simulation"] - before > 0)


@program
async def parallel_stopped():
    learner = await parallel()
    states = []
    async for state in learner.start(max_iter=50):
        states.append(state)
        learner.stop()
    note("soon over", len(states) < 20)


@program
async def parallel_without_simulation():
    learner = await parallel("training", "active_learn")
    criterion(learner, [0.95])
    await states_of(learner.start(skip_simulation_step=True))
    note("training", arguments("training"))
    note("calls", counts())


@program
async def parallel_next_config():
    learner = await parallel()
    note("has it", hasattr(learner, "set_next_config"))


@program
async def parallel_taught():
    learner = await parallel()
    criterion(learner, [0.95])
    states = await learner.teach(parallel_learners=3)
    note("states", [[state.learner_id, *told([state])[0]] for state in states])


@program
async def selected():
    chooser = await selector("one", "two")
    chooser.as_stop_criterion("mean_squared_error_mse", threshold=0.1, as_executable=False)(
        worth({"one": [0.5, 0.05], "two": [0.5, 0.4, 0.05]})
    )
    results = await chooser.start(max_iter=5)
    note("results", results["algorithm_results"])
    note("best", [results["best_algorithm"], results["best_stats"]])
    note("getters", [chooser.get_best_algorithm(), chooser.get_all_results() == results["algorithm_results"]])


@program
async def selected_by_value():
    chooser = await selector("one", "two")
    chooser.as_stop_criterion("mean_squared_error_mse", threshold=0.1, as_executable=False)(
        worth({"one": [0.5], "two": [0.3]})
    )
    results = await chooser.start(max_iter=2)
    note("best", [results["best_algorithm"], results["best_stats"]])
    note("attributes", [chooser.best_pipeline_name, chooser.best_pipeline_stats, sorted(chooser.algorithm_results)])


@program
async def selected_by_accuracy():
    chooser = await selector("one", "two")
    chooser.as_stop_criterion("model_accuracy", threshold=0.99, as_executable=False)(
        worth({"one": [0.2], "two": [0.9]})
    )
    results = await chooser.start(max_iter=2)
    note("best", results["best_algorithm"])


@program
async def algorithms_that_are_functions():
    chooser = await selector(values=[0.95])
    with raised("registering"):
        chooser.active_learn_task(name="one", as_executable=False)(stage("one"))
    with raised("running"):
        results = await chooser.start(max_iter=2)
        note("best", results["best_algorithm"])


@program
async def algorithms_by_function_name():
    chooser = await selector()

    @chooser.active_learn_task()
    async def greedy(*args, **kwargs):
        return "echo 1"

    note("names", sorted(chooser.active_learn_functions))
    results = await chooser.start(max_iter=1)
    note("best", results["best_algorithm"])


@program
async def algorithms_configured():
    chooser = await selector("one", "two")
    configs = {"one": LearnerConfig(active_learn=TaskConfig(kwargs={"k": 5}))}
    await chooser.start(max_iter=1, algorithm_configs=configs)
    note("one", keywords("one"))
    note("two", keywords("two"))


@program
async def selector_needs():
    from rose.al import AlgorithmSelector

    chooser = AlgorithmSelector(await engine())
    with raised("stages"):
        await chooser.start(max_iter=1)
    register(chooser, "simulation", "training")
    with raised("algorithms"):
        await chooser.start(max_iter=1)
    note("best", chooser.get_best_algorithm())
    note("results", chooser.get_all_results())


@program
async def one_algorithm_fails():
    chooser = await selector("good")

    @chooser.active_learn_task(name="bad")
    async def choose(*args, **kwargs):
        return "false"

    with raised("error"):
        results = await asyncio.wait_for(chooser.start(max_iter=2), 10)
        note("best", results["best_algorithm"])
        note("failure", "error" in results["algorithm_results"]["bad"])


@program
async def dataflow_of_a_selector():
    chooser = await selector("one", values=(0.1, 0.5, 0.95))
    await chooser.start()
    note("simulation", arguments("simulation")[:3])
    note("training", arguments("training")[:3])
    note("criterion", arguments("criterion"))
    note("selections", counts()["one"])


@program
async def selected_without_pre_loop():
    chooser = await selector("one", "two", values=(0.95,))
    results = await chooser.start(skip_pre_loop=True)
    note("simulations", counts().get("simulation", 0))
    note("results", results["algorithm_results"])


@program
async def selected_without_a_criterion():
    from rose.al import AlgorithmSelector

    chooser = AlgorithmSelector(await engine())
    register(chooser, "simulation", "training")
    chooser.active_learn_task(name="one")(stage("one", "echo one"))
    with raised("nothing ends it"):
        await chooser.start()
    results = await chooser.start(max_iter=2)
    note("results", results["algorithm_results"])
    note("best", results["best_algorithm"])


@program
async def selector_started_aside():
    chooser = await selector("one", values=(0.95,))
    results = await asyncio.create_task(chooser.start(max_iter=1))
    note("best", results["best_algorithm"])


@program
async def parallel_getters():
    learner = await parallel()
    criterion(learner, [0.95])
    await states_of(learner.start(max_iter=2))
    note("values", learner.metric_values_per_iteration)
    note("stopped", learner.is_stopped)


@program
async def parallel_state():
    learner = await parallel("simulation", "training", "active_learn", training={"loss": 0.5})
    states = await states_of(learner.start(max_iter=1))
    note("loss", [state.loss for state in states])
