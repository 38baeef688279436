"""State of UQ learners: what tasks and the loop put into it, and who reads it."""

import contextlib

from observe import engine, note, program, raised

from rose.learner import IterationState
from rose.uq import ParallelUQLearner, SeqUQLearner
from stages import UQ, criterion, register, states_of, uncertainty


async def sequential(**results):
    learner = SeqUQLearner(await engine())
    register(learner, *UQ, **results)
    criterion(learner, [0.1, 0.95])
    return learner


@program
async def of_a_selection():
    learner = await sequential(active_learn=lambda count: {"chosen": count, "mean": 0.5})
    states = await states_of(learner.start(model_names=["m"]))
    note("attributes", [[state.chosen, state.mean] for state in states])
    note("get", [states[0].get("chosen"), states[0].get("absent"), states[0].get("absent", 7)])
    note("in state", ["chosen" in state.state for state in states])


@program
async def absent_attribute():
    learner = await sequential()
    states = await states_of(learner.start(model_names=["m"]))
    value = "an AttributeError"
    with contextlib.suppress(AttributeError):
        value = states[0].mispelt
    note("value", value)


@program
async def fields():
    learner = await sequential()
    states = await states_of(learner.start(model_names=["m"]))
    last = states[-1]
    note("metric", [last.metric_name, last.metric_value, last.metric_threshold, last.metric_history])
    note("place", [last.iteration, last.should_stop, last.learner_id])


@program
async def as_dict():
    learner = await sequential(active_learn={"chosen": 3})
    states = await states_of(learner.start(model_names=["m"]))
    made = states[-1].to_dict()
    keys = "iteration", "metric_name", "metric_value", "metric_threshold", "metric_history", "should_stop", "learner_id"
    note("fields", {key: made[key] for key in keys})
    note("chosen", made["chosen"])


@program
async def results_that_are_no_dicts():
    learner = await sequential(simulation={"samples": 4}, training={"loss": 0.1})
    states = await states_of(learner.start(model_names=["m"]))
    note("simulation", states[0].get("samples"))
    note("training", states[0].get("loss"))


@program
async def keys_of_the_loop():
    learner = await sequential()
    uncertainty(learner)
    states = await states_of(learner.start(model_names=["m"]))
    note("uq_value", [state.get("uq_value") for state in states])
    note("criterion_values", [state.get("criterion_values") for state in states])


@program
async def users_keys_of_the_same_name():
    learner = await sequential(active_learn={"labels": 5, "selection": "mine", "uq_value": 3})
    states = await states_of(learner.start(model_names=["m"]))
    note("values", [states[0].get(key) for key in ("labels", "selection", "uq_value")])


@program
async def registered_by_hand():
    learner = await sequential()
    learner.register_state("budget", 10)
    note("read", [learner.get_state("budget"), learner.get_state("absent"), learner.get_state("absent", 2)])


@program
async def all_and_clear():
    learner = await sequential()
    learner.register_state("a", 1)
    note("all", learner.get_all_state())
    learner.get_all_state()["b"] = 2
    note("a copy", learner.get_all_state())
    learner.clear_state()
    note("cleared", learner.get_all_state())


@program
async def registered_in_a_task():
    learner = await sequential()

    @learner.active_learn_task(as_executable=False)
    async def choose(*args, **kwargs):
        learner.register_state("chosen", 4)
        return 1

    states = await states_of(learner.start(model_names=["m"]))
    note("chosen", [state.chosen for state in states])


@program
async def forgotten_between_iterations():
    learner = await sequential(active_learn=lambda count: {"first": 1} if count == 0 else {"second": 2})
    states = await states_of(learner.start(model_names=["m"]))
    note("first", [state.get("first") for state in states])
    note("second", [state.get("second") for state in states])


@program
async def callbacks_by_hand():
    learner, heard = await sequential(), []
    learner.on_state_update(lambda key, value: heard.append([key, value]))
    learner.register_state("a", 1)
    note("heard", heard)


@program
async def callbacks_of_results():
    learner, heard = await sequential(active_learn={"chosen": 3}), []
    uncertainty(learner)
    learner.on_state_update(lambda key, value: heard.append(key))
    await states_of(learner.start(model_names=["m"]))
    note("heard", [key for key in heard if key in ("chosen", "uq_value", "criterion_values")])


@program
async def removed_callback():
    learner, heard = await sequential(), []

    def listen(key, value):
        heard.append(key)

    learner.on_state_update(listen)
    learner.register_state("a", 1)
    learner.remove_state_callback(listen)
    learner.register_state("b", 1)
    learner.remove_state_callback(listen)
    note("heard", heard)


@program
async def failing_callback():
    learner = await sequential()

    def fail(key, value):
        raise ValueError(key)

    learner.on_state_update(fail)
    with raised("by hand"):
        learner.register_state("a", 1)


@program
async def built_by_hand():
    learner = await sequential()
    learner.register_state("a", 1)
    state = learner.build_iteration_state(3, metric_value=0.5, should_stop=True)
    note("state", [type(state).__name__, state.iteration, state.metric_value, state.should_stop, state.a])
    note("criterion", [state.metric_name, state.metric_threshold, state.metric_history])


@program
def made_by_hand():
    state = IterationState(iteration=2, metric_value=0.5, state={"a": 1})
    note("fields", [state.iteration, state.metric_value, state.should_stop, state.a, state.get("b", 3)])
    note("dict", {key: state.to_dict()[key] for key in ("iteration", "a")})


@program
async def of_parallel_learners():
    learner = ParallelUQLearner(await engine())
    register(learner, *UQ, active_learn={"chosen": 1})
    criterion(learner, [0.95])
    states = await states_of(learner.start(learner_names=["a", "b"], model_names=["m"]))
    note("chosen", {state.learner_id: state.chosen for state in states})
