"""Which pods get a proxy, what is added to them, and Envoy's first configuration."""
