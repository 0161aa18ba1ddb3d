"""The mesh's certificate authority, where its root lives, and istiod's own certificate."""
