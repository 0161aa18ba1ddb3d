"""Pod Security: what a namespace's labels `pod-security.kubernetes.io/...` ask of its pods.

`standards` are the levels `baseline` and `restricted` as a table of checks, `levels` reads the labels, and `admission`
holds pods and their templates to them. https://kubernetes.io/docs/concepts/security/pod-security-admission/
"""
