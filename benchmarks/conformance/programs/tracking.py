"""Trackers: what they are told, and when."""

import sys

from observe import engine, note, program, raised, unordered

from rose.tracking import CriterionManifest, PipelineManifest, TaskManifest, TrackerBase
from rose.uq import ParallelUQLearner, SeqUQLearner
from stages import ACTIVE, REINFORCEMENT, UQ, criterion, register, stage, states_of, uncertainty


class Told(TrackerBase):
    def __init__(self):
        self.manifests, self.states, self.ends = [], [], []

    def on_start(self, manifest):
        self.manifests.append(manifest)

    def on_iteration(self, state):
        self.states.append(state)

    def on_stop(self, final_state, reason):
        self.ends.append([final_state, reason])

    @property
    def reasons(self):
        return [reason for _, reason in self.ends]

    @property
    def finals(self):
        return [final.iteration if final is not None else None for final, _ in self.ends]


async def tracked(kind=SeqUQLearner, values=(0.1, 0.95), slots=UQ, **results):
    learner, tracker = kind(await engine()), Told()
    register(learner, *slots, **results)
    if values:
        criterion(learner, values)
    learner.add_tracker(tracker)
    return learner, tracker


@program
def manifests():
    task = TaskManifest("train", "module", False)
    note("task", [task.func_name, task.func_module, task.as_executable, task.decor_kwargs, task.log_params])
    rule = CriterionManifest("test", "module", True)
    note("criterion", [rule.metric_name, rule.threshold, rule.operator])
    pipeline = PipelineManifest("Mine")
    note("pipeline", [pipeline.learner_type, pipeline.tasks, pipeline.criterion, pipeline.parallel_count])


@program
def base_does_nothing():
    tracker = TrackerBase()
    note("returns", [tracker.on_start(None), tracker.on_iteration(None), tracker.on_stop(None, "stopped")])


@program
async def manifest_of_a_run():
    learner, tracker = await tracked()
    await states_of(learner.start(model_names=["m"]))
    manifest = tracker.manifests[0]
    note("count", len(tracker.manifests))
    note("learner", manifest.learner_type)
    note("tasks", [name for name in ("simulation", "training", "prediction", "active_learn") if name in manifest.tasks])
    note("training", [manifest.tasks["training"].func_name, manifest.tasks["training"].as_executable])
    rule = manifest.criterion
    note("criterion", [rule.func_name, rule.metric_name, rule.threshold, rule.as_executable])


@program
async def manifest_of_options():
    learner, tracker = SeqUQLearner(await engine()), Told()
    register(learner, *UQ)

    @learner.training_task(as_executable=False, log_params={"lr": 0.1})
    async def train(*args, **kwargs):
        return 1

    learner.add_tracker(tracker)
    await states_of(learner.start(model_names=["m"], max_iter=1))
    task = tracker.manifests[0].tasks["training"]
    note("training", [task.func_name, task.log_params, task.decor_kwargs])


@program
async def manifest_at_once():
    _, tracker = await tracked()
    note("manifests", len(tracker.manifests))


@program
async def registered_afterwards():
    learner, tracker = SeqUQLearner(await engine()), Told()
    learner.add_tracker(tracker)
    register(learner, *UQ)
    await states_of(learner.start(model_names=["m"], max_iter=1))
    note("tasks", sorted(set(tracker.manifests[0].tasks) & set(UQ)))


@program
async def iterations():
    learner, tracker = await tracked(active_learn={"chosen": 3})
    uncertainty(learner)
    await states_of(learner.start(model_names=["m"]))
    note("iterations", [[state.iteration, state.metric_value, state.should_stop] for state in tracker.states])
    note("state", [[state.chosen, state.uq_value] for state in tracker.states])


@program
async def criterion_met():
    learner, tracker = await tracked()
    await states_of(learner.start(model_names=["m"]))
    note("end", [tracker.finals, tracker.reasons])


@program
async def max_iter_reached():
    learner, tracker = await tracked(values=None)
    await states_of(learner.start(model_names=["m"], max_iter=2))
    note("end", [tracker.finals, tracker.reasons])


@program
async def stopped():
    learner, tracker = await tracked(values=None)
    async for _ in learner.start(model_names=["m"], max_iter=9):
        learner.stop()
    note("end", [tracker.finals, tracker.reasons])


@program
async def broken_off():
    learner, tracker = await tracked(values=None)
    states = learner.start(model_names=["m"], max_iter=9)
    async for _ in states:
        break
    await states.aclose()
    note("end", [tracker.finals, tracker.reasons])


@program
async def failed():
    learner, tracker = await tracked(values=None, active_learn=ValueError("bad"))
    with raised("error"):
        await states_of(learner.start(model_names=["m"], max_iter=2))
    note("reasons", tracker.reasons)


@program
async def failed_before_the_loop():
    learner, tracker = await tracked(values=None, simulation=ValueError("bad"))
    with raised("error"):
        await states_of(learner.start(model_names=["m"], max_iter=2))
    note("reasons", tracker.reasons)


@program
async def parallel_run():
    learner, tracker = await tracked(ParallelUQLearner, values=[0.95])
    await states_of(learner.start(learner_names=["a", "b"], model_names=["m"]))
    note("states", unordered([state.learner_id, state.iteration] for state in tracker.states))
    note("learner", tracker.manifests[0].learner_type)
    note("count", tracker.manifests[0].parallel_count)
    note("reason", tracker.reasons)
    note("final", [final is not None for final, _ in tracker.ends])


@program
async def several():
    learner, first = await tracked()
    second = Told()
    learner.add_tracker(second)
    await states_of(learner.start(model_names=["m"]))
    note("told", [[len(t.manifests), len(t.states), len(t.ends)] for t in (first, second)])


@program
async def any_object():
    class Duck:
        def __init__(self):
            self.heard = []

        def on_start(self, manifest):
            self.heard.append("start")

        def on_iteration(self, state):
            self.heard.append(state.iteration)

        def on_stop(self, final_state, reason):
            self.heard.append(reason)

    learner, duck = SeqUQLearner(await engine()), Duck()
    register(learner, *UQ)
    learner.add_tracker(duck)
    await states_of(learner.start(model_names=["m"], max_iter=2))
    note("heard", duck.heard)


@program
async def raising():
    class Bad(Told):
        def on_iteration(self, state):
            raise ValueError("no")

    learner, good = await tracked()
    learner.add_tracker(Bad())
    with raised("run"):
        await states_of(learner.start(model_names=["m"]))
    note("others", len(good.states))


@program
async def of_active_learners():
    from rose.al import ParallelActiveLearner, SequentialActiveLearner

    learner, tracker = await tracked(SequentialActiveLearner, slots=ACTIVE)
    await states_of(learner.start())
    note("sequential", [tracker.manifests[0].learner_type, len(tracker.states), tracker.reasons])
    learner, tracker = await tracked(ParallelActiveLearner, values=[0.95], slots=ACTIVE)
    await states_of(learner.start())
    note("parallel", [tracker.manifests[0].learner_type, len(tracker.states)])
    note("reason", tracker.reasons)


@program
async def of_reinforcement_learners():
    from rose.rl.reinforcement_learner import SequentialReinforcementLearner

    learner, tracker = await tracked(SequentialReinforcementLearner, slots=REINFORCEMENT)
    await states_of(learner.start())
    note("told", [tracker.manifests[0].learner_type, len(tracker.states), tracker.reasons])
    note("tasks", sorted(tracker.manifests[0].tasks))


@program
async def of_a_learner():
    from rose import Learner

    learner, tracker = await tracked(Learner, slots=("simulation", "training"))
    await learner.simulation_task(as_executable=False)(stage("simulation"))()
    await learner.shutdown()
    note("manifests", [[manifest.learner_type, sorted(manifest.tasks)] for manifest in tracker.manifests])


@program
def mlflow_missing():
    sys.modules["mlflow"] = None
    from rose.integrations.mlflow_tracker import MLflowTracker

    with raised("error"):
        MLflowTracker(experiment_name="mine")


@program
def clearml_missing():
    sys.modules["clearml"] = None
    from rose.integrations.clearml_tracker import ClearMLTracker

    with raised("error"):
        ClearMLTracker(project_name="mine", task_name="run")
