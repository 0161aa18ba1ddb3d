"""nginx, as far as Istio's tasks on TLS configure it: servers by name, client certificates, `return`, `root`, headers.

`syntax` reads the files, `config` gives them meaning and refuses what has none here, with file and line; `handler`
answers. http://nginx.org/en/docs/
"""
