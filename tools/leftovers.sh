#!/bin/sh
# Lists what a lab could leave behind on this machine: interfaces, mounts, namespaces, nftables rules, processes.
# Run before a lab comes up and after it has gone down; the two lists are to be the same.
set -eu
PATH=$PATH:/usr/sbin:/sbin

ip -o link show | awk -F ': ' '{ print "interface", $2 }'
awk '{ print "mount", $5 }' /proc/self/mountinfo
for kind in net mnt pid user ipc uts; do
    # A process may end while it is looked at.
    for process in /proc/[0-9]*; do readlink "$process/ns/$kind" 2>/dev/null || true; done
done | sort -u | sed 's/^/namespace /'
nft list ruleset 2>/dev/null | sed 's/^/rule /' || true
for process in /proc/[0-9]*; do
    command=$({ tr '\0' ' ' <"$process/cmdline"; } 2>/dev/null) || continue
    case $command in
        *lab.clusters.embedded.host* | *lab.kube.* | *lab.controlplane* | *lab.apps* | *envoy\ --* | *locust*)
            printf 'process %.100s\n' "$command" ;;
    esac
done
