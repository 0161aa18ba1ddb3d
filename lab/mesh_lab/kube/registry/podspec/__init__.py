"""A pod's spec, in pods and in the templates of other kinds: its defaults and its rules."""
