"""CEL as Kubernetes has it: expressions in definitions, admission policies and webhook configurations."""
