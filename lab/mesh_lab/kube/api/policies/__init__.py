"""Admission by policies: ValidatingAdmissionPolicies, in the process and in CEL."""
