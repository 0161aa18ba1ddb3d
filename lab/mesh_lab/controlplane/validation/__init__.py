"""What can be wrong within one resource although its types are right: Istio's own rules, as pure functions.

A resource with an error is not translated; where there was a good version of it before, that one stays. Of a policy,
what `failclosed` makes of it holds. The wording is Istio's where it has one, since people will search for it.
"""
