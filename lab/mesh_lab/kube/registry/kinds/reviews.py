"""Reviews: questions that are answered, and not stored. Their answers: `mesh_lab.kube.api.rest.reviews`."""

from __future__ import annotations

from mesh_lab.kube.registry.behaviour import Behaviour
from mesh_lab.kube.resources import (
    SELF_SUBJECT_ACCESS_REVIEWS,
    SELF_SUBJECT_REVIEWS,
    SELF_SUBJECT_RULES_REVIEWS,
    SUBJECT_ACCESS_REVIEWS,
    TOKEN_REVIEWS,
)

TOKEN = Behaviour(TOKEN_REVIEWS, zero_counts=frozenset({"authenticated"}))
SELF_SUBJECT = Behaviour(SELF_SUBJECT_REVIEWS)
SUBJECT_ACCESS = Behaviour(SUBJECT_ACCESS_REVIEWS, zero_counts=frozenset({"allowed"}))
SELF_SUBJECT_ACCESS = Behaviour(SELF_SUBJECT_ACCESS_REVIEWS, zero_counts=frozenset({"allowed"}))
SELF_SUBJECT_RULES = Behaviour(SELF_SUBJECT_RULES_REVIEWS)
