"""The echo server, the far end of every experiment: it reports what arrived and misbehaves exactly as asked."""
