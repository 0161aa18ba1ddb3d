"""A shop: a front that people see, and the stock behind it."""
