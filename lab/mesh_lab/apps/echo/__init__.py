"""The echo server, the far end of every experiment: it reports what arrived and fails or delays as requested."""
