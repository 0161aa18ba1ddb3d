"""The host's Prometheus in a pod of the lab, with a discovery of Kubernetes' objects where its own was left out.

Debian builds Prometheus without `kubernetes_sd_configs`, which Istio's addon and most others configure. Here such a
part becomes `file_sd_configs`, whose files a process beside Prometheus keeps up to date:

    configuring   a configuration with kubernetes_sd_configs  ->  one with file_sd_configs, and what they ask for
    targets       objects of the API                          ->  targets with Prometheus' labels
    reflecting    lists and watches the API
    discovering   joins the three: objects that change        ->  files that change
    handing       gives Prometheus its configuration, made anew whenever it reads it
    __main__      starts Prometheus, and ends with it

A Prometheus that has the discovery is started as it is.
"""
