"""What the process itself has: its settings, its metrics, and the record of its faults."""
