"""A grid over a model's options: every cell a run of the project, one table, one plot."""
