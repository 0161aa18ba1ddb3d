"""httpbin: the two programs of that name that Istio's tasks use. They share paths and differ in the form of answers.

`forms` has the forms, `handler` the table of paths, `plain`, `changing` and `slow` what they answer, `accesslog` the
lines in the log, `program` the command lines. https://httpbin.org/
"""
