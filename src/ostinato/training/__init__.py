"""The main job: data sets, the training loop, checkpoints and the report."""
