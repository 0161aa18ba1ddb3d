"""The debug interface of istiod: its pages, and who may read them."""
