"""From snapshots to proxies: what has changed is translated and pushed, and each ACK and NACK is kept."""
