"""How names, quantities and selectors are written."""
