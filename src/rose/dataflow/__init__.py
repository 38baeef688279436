"""Run the loop that ROSE's programs describe: results travel by position from stage to stage, files are the user's."""
