"""From the process's first moment to all parts serving."""
