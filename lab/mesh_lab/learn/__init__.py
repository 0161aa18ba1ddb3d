"""Lessons that check themselves: what a lesson is, where it takes place, what its checks saw, how far a learner is.

Nothing here knows of a terminal: `mesh_lab.cli.learn` prints what these modules give. `docs/lessons.md` tells how a
lesson is written; its `checks.py` uses `mesh_lab.testing` and `mesh_lab.learn.checking`.
"""
