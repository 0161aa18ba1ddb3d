"""NetworkPolicies: what they mean for each pod, as rules of the node's packet filter, kept up to date."""
