"""Progressive delivery: a new version gets its share of requests step by step, is judged at each, and stays or goes."""
