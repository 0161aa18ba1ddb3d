"""httpbin: the two programs of that name that Istio's tasks use. They share paths and differ in the form of answers.

`forms` has the forms, `parts` the groups of paths, `program` the command lines. https://httpbin.org/
"""
