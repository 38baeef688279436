"""`Learner`: a policy of one's own over futures."""

import asyncio

from observe import calls, counts, engine, note, program, raised, seen

from stages import stage


async def learner_with(*slots):
    from rose import Learner

    learner = Learner(await engine())
    return learner, *(getattr(learner, f"{slot}_task")(as_executable=False)(stage(slot)) for slot in slots)


@program
async def future():
    _, simulate = await learner_with("simulation")
    task = simulate(1, n=2)
    note("methods", [hasattr(task, name) for name in ("done", "cancel", "exception", "result", "add_done_callback")])
    note("future", asyncio.isfuture(task))
    note("result", await task)
    note("done", [task.done(), task.exception()])
    note("calls", calls())


@program
async def identities():
    _, simulate = await learner_with("simulation")
    tasks = [simulate(i) for i in range(3)]
    note("results", len(await asyncio.gather(*tasks)))
    note("ids", len({task.id for task in tasks}))


@program
async def submitted_at_the_call():
    learner, _ = await learner_with("training")
    began = asyncio.Event()
    loop = asyncio.get_running_loop()

    @learner.simulation_task(as_executable=False)
    async def simulate():
        loop.call_soon_threadsafe(began.set)

    task = simulate()
    await asyncio.wait_for(began.wait(), 5)
    await task
    note("began", True)


@program
async def dependencies():
    _, simulate, train, choose = await learner_with("simulation", "training", "active_learn")
    simulated = simulate()
    trained = train(simulated, epochs=2)
    note("result", await choose(simulated, trained))
    note("calls", calls())


@program
async def keyword_dependency():
    _, simulate, train = await learner_with("simulation", "training")
    await train(data=simulate())
    note("calls", calls("training"))


@program
async def dependencies_in_a_list():
    _, simulate, train = await learner_with("simulation", "training")
    simulated = [simulate(i) for i in range(2)]
    await asyncio.gather(*simulated)
    await train(simulated)
    [[_, [given], _]] = calls("training")
    note("futures", ["Future" in value for value in given])


@program
async def dependency_of_a_command():
    learner, simulate = await learner_with("simulation")

    @learner.training_task
    async def train(data):
        return f"echo trained on {data}"

    note("printed", (await train(simulate())).strip())


@program
async def command():
    learner, _ = await learner_with("training")

    @learner.simulation_task
    async def simulate(n):
        return f"echo {n}"

    note("printed", (await simulate(5)).strip())


@program
async def criterion():
    learner, _ = await learner_with("training")

    @learner.as_stop_criterion("model_accuracy", threshold=0.9, as_executable=False)
    async def accuracy(value):
        return value

    note("results", [await accuracy(value) for value in (0.5, 0.95)])
    note("values", [learner.metric_values_per_iteration, learner.get_metric_results()])
    note("iteration", learner.iteration)


@program
async def criterion_by_command():
    learner, _ = await learner_with("training")

    @learner.as_stop_criterion("mean_squared_error_mse", threshold=0.1)
    async def error(value):
        return f"echo {value}"

    note("results", [await error(value) for value in (0.5, 0.05)])


@program
async def criterion_of_a_future():
    learner, train = await learner_with("training")

    @learner.as_stop_criterion("mine", threshold=3, operator=">", as_executable=False)
    async def length(text):
        return len(text)

    note("result", await length(train()))


@program
async def own_loop():
    learner, simulate, train, choose = await learner_with("simulation", "training", "active_learn")

    @learner.as_stop_criterion("model_accuracy", threshold=0.9, as_executable=False)
    async def accuracy(chosen):
        return 0.3 * (1 + len(calls("criterion"))) + 0.0 * seen_criterion(chosen)

    def seen_criterion(chosen):
        seen("criterion", [chosen])
        return 0

    chosen = None
    for _ in range(5):
        simulated = simulate(chosen)
        trained = train(simulated)
        chosen = choose(simulated, trained)
        stop, value = await accuracy(chosen)
        if stop:
            break
    note("end", [stop, value])
    note("calls", counts())


@program
async def ensemble():
    _, train = await learner_with("training")
    results = await asyncio.gather(*(train(model_id=i, config={"lr": i}) for i in range(3)))
    note("results", len(results))
    note("calls", sorted(str(kwargs) for _, _, kwargs in calls("training")))


@program
async def failing():
    learner, _ = await learner_with("training")

    @learner.simulation_task(as_executable=False)
    async def simulate():
        raise ValueError("bad data")

    task = simulate()
    with raised("error"):
        await task
    note("exception", "bad data" in str(task.exception()))


@program
async def failing_dependency():
    learner, train = await learner_with("training")

    @learner.simulation_task(as_executable=False)
    async def simulate():
        raise ValueError("bad data")

    with raised("error"):
        await train(simulate())
    note("trainings", counts().get("training", 0))


@program
async def failing_command():
    learner, _ = await learner_with("training")

    @learner.simulation_task
    async def simulate():
        return "false"

    with raised("error"):
        await simulate()


@program
async def cancelled():
    learner, _ = await learner_with("training")

    @learner.simulation_task(as_executable=False)
    async def simulate():
        await asyncio.sleep(3)

    task = simulate()
    await asyncio.sleep(0.2)
    task.cancel()
    try:
        await asyncio.wait_for(asyncio.shield(task), 2)
        note("ended", "done")
    except (asyncio.CancelledError, TimeoutError) as error:
        note("ended", type(error).__name__)


@program
async def first_of_several():
    _, simulate = await learner_with("simulation")
    tasks = [simulate(i) for i in range(2)]
    done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    note("one at least", len(done) >= 1)
    note("all", len(done) + len(pending))
    await asyncio.gather(*tasks)


@program
async def submitted_by_dict():
    learner, _ = await learner_with("simulation")
    task = learner.simulation_function.copy()
    task["args"], task["kwargs"] = (1,), {"n": 2}
    first = learner._register_task(task)
    await learner._register_task(task, deps=first)
    note("calls", calls())


@program
async def last_call_in_the_dict():
    learner, simulate = await learner_with("simulation")
    await simulate(4, n=5)
    note("arguments", [learner.simulation_function["args"], learner.simulation_function["kwargs"]])


@program
async def without_submitting():
    from rose import Learner

    learner = Learner(await engine(), register_and_submit=False)
    simulate = learner.simulation_task(as_executable=False)(stage("simulation"))
    note("coroutine", asyncio.iscoroutine(made := simulate(1)))
    note("result", await made)


@program
async def base_start():
    learner, _ = await learner_with("simulation")
    with raised("start"):
        learner.start()


@program
async def of_a_configuration():
    from rose import LearnerConfig, TaskConfig

    learner, _ = await learner_with("simulation")
    config = LearnerConfig(simulation={0: TaskConfig(args=(1,), kwargs={"n": 2})})
    for iteration in (0, 1):
        task = learner._get_iteration_task_config(learner.simulation_function, config, "simulation", iteration)
        note(f"iteration {iteration}", [task["args"], task["kwargs"], task["as_executable"]])


@program
async def state():
    learner, _ = await learner_with("simulation")
    learner.register_state("a", 1)
    built = learner.build_iteration_state(2, metric_value=0.5)
    note("state", [built.iteration, built.metric_value, built.a, built.should_stop])
    note("stop", [learner.is_stopped, learner.stop(), learner.is_stopped])


@program
async def utility():
    learner, _ = await learner_with("simulation")

    @learner.utility_task(as_executable=False)
    async def summarise(x):
        return x + 1

    task = summarise(1)
    note("future", asyncio.isfuture(task))
    note("result", await task)
    note("shutdown", await learner.shutdown())


@program
async def blocked_flow():
    learner, simulate, train = await learner_with("simulation", "training")

    @learner.asyncflow.block
    async def once(n):
        return await train(simulate(n))

    note("results", len(await asyncio.gather(once(1), once(2))))
    note("calls", counts())
