"""Attributes of all learners, and the keywords of their methods."""

from observe import engine, note, program, raised

from stages import ACTIVE, REINFORCEMENT, UQ, criterion, register, states_of, told

REGISTERING = "simulation_task", "training_task", "active_learn_task", "prediction_task", "utility_task"
DICTS = "simulation_function", "training_function", "active_learn_function", "prediction_function", "criterion_function"
STATE = (
    *("register_state", "get_state", "get_all_state", "clear_state", "on_state_update", "remove_state_callback"),
    *("build_iteration_state", "compare_metric", "metric_values_per_iteration", "get_metric_results", "iteration"),
)
RUNNING = (
    *("asyncflow", "register_and_submit", "is_stopped", "stop", "start", "shutdown", "add_tracker", "_register_task"),
    *("create_iteration_schedule", "create_adaptive_schedule", "register_decorator", "as_stop_criterion"),
    *("_check_stop_criterion", "_get_iteration_task_config"),
)
EVERY = (*REGISTERING, *DICTS, *STATE, *RUNNING)


async def has(kind, *names):
    learner = kind(await engine())
    note("every", [name for name in EVERY if hasattr(learner, name)])
    note("own", [name for name in names if hasattr(learner, name)])
    return learner


@program
async def of_base_learners():
    from rose import Learner

    await has(Learner)


@program
async def of_uq_learners():
    from rose.uq import ParallelUQLearner

    own = "uncertainty_quantification", "uncertainty_function", "uncertainty_task", "uncertainty_values_per_iteration"
    learner = await has(ParallelUQLearner, *own, "teach", "learner_name", "learner_results", "get_uncertainty_results")
    note("name", learner.learner_name)


@program
async def of_active_learners():
    from rose.al import SequentialActiveLearner

    own = "teach", "set_next_config", "get_current_state", "get_max_iterations", "learner_id"
    learner = await has(SequentialActiveLearner, *own)
    note("before a run", [learner.get_current_state(), learner.get_max_iterations(), learner.learner_id])


@program
async def of_selectors():
    from rose.al import AlgorithmSelector

    own = "get_best_algorithm", "get_all_results", "algorithm_results", "best_pipeline_name", "best_pipeline_stats"
    chooser = await has(AlgorithmSelector, *own, "active_learn_functions")
    note("before a run", [getattr(chooser, name) for name in own[2:]])


@program
async def of_reinforcement_learners():
    from rose.rl.reinforcement_learner import SequentialReinforcementLearner

    own = "environment_task", "update_task", "environment_function", "update_function", "learner_id", "learn"
    await has(SequentialReinforcementLearner, *own, "set_next_config", "get_current_state", "get_max_iterations")


@program
async def of_parallel_experience():
    from rose.rl.reinforcement_learner import ParallelExperience

    own = "environment_task", "update_task", "work_dir", "merge_banks", "learn", "set_next_config", "get_current_state"
    learner = await has(ParallelExperience, *own)
    note("directory", learner.work_dir)


@program
async def keywords_of_uq_learners():
    from rose.uq import ParallelUQLearner, SeqUQLearner

    named = {"model_names": ["m"], "num_predictions": 1, "max_iter": 1, "skip_pre_loop": False}
    one, several = SeqUQLearner(await engine()), ParallelUQLearner(asyncflow=await engine())
    for learner in (one, several):
        register(learner, *UQ)
    note("one", told(await states_of(one.start(**named, learning_config=None))))
    runs = several.start(learner_names=["a", "b"], **named, learner_configs={"a": None, "b": None})
    note("several", len(await states_of(runs)))


@program
async def keywords_of_active_learners():
    from rose.al import ParallelActiveLearner, SequentialActiveLearner

    named = {"max_iter": 1, "skip_pre_loop": False, "skip_simulation_step": False}
    one, several = SequentialActiveLearner(asyncflow=await engine()), ParallelActiveLearner(asyncflow=await engine())
    for learner in (one, several):
        register(learner, *ACTIVE)
    note("one", told(await states_of(one.start(**named, initial_config=None))))
    note("several", len(await states_of(several.start(**named, parallel_learners=2, learner_configs=None))))
    note("taught", told([await one.teach(**named, learner_config=None)]))


@program
async def keywords_of_reinforcement_learners():
    from rose.rl.reinforcement_learner import ParallelReinforcementLearner, SequentialReinforcementLearner

    named = {"max_iter": 1, "skip_pre_loop": False}
    one = SequentialReinforcementLearner(asyncflow=await engine())
    several = ParallelReinforcementLearner(asyncflow=await engine())
    for learner in (one, several):
        register(learner, *REINFORCEMENT)
        criterion(learner)
    note("one", told(await states_of(one.start(**named, skip_environment_step=False, initial_config=None))))
    note("several", len(await states_of(several.start(**named, parallel_learners=2, learner_configs=None))))
    note("learned", told([await one.learn(**named, skip_simulation_step=False, learner_config=None)]))


@program
async def unknown_keywords():
    from rose.al import SequentialActiveLearner

    learner = SequentialActiveLearner(await engine())
    register(learner, *ACTIVE)
    with raised("start"):
        await states_of(learner.start(max_iterations=1))


@program
async def dry_run():
    from radical.asyncflow import WorkflowEngine

    from rose.uq import SeqUQLearner

    flow = await WorkflowEngine.create(dry_run=True)
    with raised("run"):
        learner = SeqUQLearner(flow)
        register(learner, *UQ)
        note("states", told(await states_of(learner.start(model_names=["m"], max_iter=1))))
