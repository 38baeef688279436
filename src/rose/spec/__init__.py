"""Run programs that are YAML files: of ROSE's learners, and over pools."""

from rose.spec.workflow import WorkflowSpec, load_spec

__all__ = ["WorkflowSpec", "load_spec"]
