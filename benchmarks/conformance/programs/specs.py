"""Programs as YAML files."""

import subprocess
import sys
from pathlib import Path

from observe import counts, engine, keywords, note, program, raised, seen

from stages import states_of, told

MINE = "programs.specs"
SEQUENTIAL = f"""
learner: {{type: sequential_active_learner, max_iter: 3}}
simulation: {{type: python, function: "{MINE}:simulate"}}
training: {{type: python, function: "{MINE}:train"}}
active_learn: {{type: python, function: "{MINE}:choose"}}
stop_criterion:
  metric: model_accuracy
  threshold: 0.9
  operator: ">="
  evaluator: {{type: python, function: "{MINE}:test"}}
"""
PARAMETERS = "parameters: {lr: 0.1}\n"
REINFORCEMENT = SEQUENTIAL.replace("sequential_active", "sequential_reinforcement").replace(
    "simulation:", "environment:"
)
REINFORCEMENT = REINFORCEMENT.replace("training:", "update:").replace(
    f'active_learn: {{type: python, function: "{MINE}:choose"}}\n', ""
)


def simulate(*args, **kwargs):
    seen("simulation", args, kwargs)
    return 1


def train(*args, **kwargs):
    seen("training", args, kwargs)
    return 2


def choose(*args, **kwargs):
    seen("active_learn", args, kwargs)
    return 3


async def test(*args, **kwargs):
    seen("criterion", args, kwargs)
    return [0.1, 0.95][min(len(keywords("criterion")), 2) - 1]


def written(text, name="spec.yaml"):
    Path(name).write_text(text)
    return name


async def built(text, **options):
    from rose.spec.builder import LearnerBuilder

    builder = LearnerBuilder(written(text), await engine())
    return builder, builder.build()


@program
def loaded():
    from rose import load_spec

    spec = load_spec(written(SEQUENTIAL))
    note("type", type(spec).__name__)
    note("learner", [spec.config.learner.type, spec.config.learner.max_iter])
    note("criterion", [spec.config.stop_criterion.metric, spec.config.stop_criterion.threshold])
    note("simulation", [spec.config.simulation.type, spec.config.simulation.function])
    note("parameters", spec.config.parameters)
    note("workflow", callable(spec.workflow))


@program
async def sequential():
    builder, learner = await built(SEQUENTIAL)
    note("learner", type(learner).__name__)
    note("configuration", builder.build_learner_config())
    note("states", told(await states_of(learner.start(max_iter=builder.config.learner.max_iter))))
    note("calls", counts())


@program
async def parameters():
    builder, learner = await built(SEQUENTIAL + PARAMETERS)
    await states_of(learner.start(max_iter=3, initial_config=builder.build_learner_config()))
    for stage in ("simulation", "training", "active_learn", "criterion"):
        note(stage, keywords(stage))


@program
async def commands():
    text = SEQUENTIAL.replace(f'python, function: "{MINE}:train"', 'shell, command: "echo {lr} {iteration}"')
    builder, learner = await built(text + PARAMETERS)
    note("executable", [learner.training_function["as_executable"], learner.simulation_function["as_executable"]])
    state = await anext(learner.start(max_iter=1, initial_config=builder.build_learner_config()))
    note("iteration", state.iteration)


@program
async def parallel():
    text = SEQUENTIAL.replace("sequential_active_learner", "parallel_active_learner, parallel_learners: 2")
    builder, learner = await built(text + PARAMETERS)
    configs = builder.build_learner_configs()
    note("learner", [type(learner).__name__, len(configs), builder.build_learner_config() is None])
    await states_of(learner.start(parallel_learners=2, max_iter=1, learner_configs=configs))
    note("learners", sorted(kwargs.get("lr") for kwargs in keywords("active_learn")))


@program
async def reinforcement():
    _, learner = await built(REINFORCEMENT)
    note("learner", type(learner).__name__)
    note("states", told(await states_of(learner.start(max_iter=3))))


@program
def overridden():
    from rose.spec import load_spec

    spec = load_spec(written(SEQUENTIAL + PARAMETERS))
    other = spec.workflow_with(max_iter=7, parameters={"n": 2})
    note("other", [other.config.learner.max_iter, other.config.parameters])
    note("unchanged", [spec.config.learner.max_iter, spec.config.parameters])
    with raised("unknown"):
        spec.workflow_with(rounds=3)


@program
def mistakes():
    from rose.spec import load_spec

    texts = {
        "unknown key": SEQUENTIAL + "simulatoin: {type: shell, command: ls}\n",
        "unknown type": SEQUENTIAL.replace("sequential_active", "quantum"),
        "no stage": SEQUENTIAL.replace("training:", "prediction:"),
        "no criterion": SEQUENTIAL.partition("stop_criterion")[0],
        "no command": SEQUENTIAL.replace("python, function", "shell, function"),
        "no module": SEQUENTIAL.replace(f"{MINE}:train", "train"),
        "reserved": SEQUENTIAL + "parameters: {iteration: 3}\n",
    }
    for name, text in texts.items():
        with raised(name):
            load_spec(written(text))
    with raised("no file"):
        load_spec("absent.yaml")


@program
def imports():
    from rose.spec import load_spec

    path = written(SEQUENTIAL.replace("specs:train", "specs:absent"))
    with raised("unchecked"):
        load_spec(path)
    with raised("checked"):
        load_spec(path, validate_imports=True)


@program
def schema():
    from rose.spec.schema import LearnerSpec, StopCriterionDef, TaskDef, WorkflowConfig

    note("learner", [LearnerSpec(type="x").max_iter, LearnerSpec(type="x").parallel_learners])
    task = TaskDef(type="shell", command="ls")
    note("task", [task.type, task.command, task.function])
    note("criterion", StopCriterionDef(metric="mine", threshold=1.0, evaluator=task).operator)
    note("config", WorkflowConfig.from_yaml(written(SEQUENTIAL)).learner.type)
    with raised("no callable"):
        TaskDef(type="python", function="no_colon")


@program
async def uq_spec():
    text = SEQUENTIAL.replace("sequential_active_learner", "uq_active_learner")
    for slot in ("prediction", "uncertainty"):
        text += f'{slot}: {{type: python, function: "{MINE}:train"}}\n'
    builder, learner = await built(text)
    note("learner", type(learner).__name__)
    with raised("start"):
        await states_of(learner.start(max_iter=1, initial_config=builder.build_learner_config()))


@program
def command_line():
    code = "import sys; from rose.cli import main; sys.argv[1:] = {!r}; sys.exit(main())"
    for arguments in (["run", "absent.yaml", "--local"], ["run"], ["nonsense"]):
        command = [sys.executable, "-c", code.format(arguments)]
        ended = subprocess.run(command, capture_output=True, timeout=20, check=False)
        note(" ".join(arguments), ended.returncode)
