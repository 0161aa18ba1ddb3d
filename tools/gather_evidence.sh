#!/usr/bin/env bash
# Gathers what tells why something failed on a lab: gather_evidence.sh LAB-DIRECTORY OUTPUT-DIRECTORY
#
# The lab's log, crash files and reports; of the cluster pods, events, the mesh's resources and the logs of all pods. Only files
# that are named here: the state directory has keys in it, too. What cannot be had is left out, and the exit code is 0.
set -uo pipefail

# shellcheck disable=SC2164  # without the lab's directory there is nothing to gather
cd "$1" || exit 0
out=$2
mkdir -p "$out/pods"

# Into a file of that name, whatever becomes of the command; a cluster that hangs costs half a minute each.
tell() {
    local file=$1
    shift
    timeout 30 "$@" >"$out/$file" 2>&1 || echo "(exit code $?)" >>"$out/$file"
}

# Without the dot: artifacts leave hidden files out.
for state in .lab .lab-*; do
    [ -d "$state" ] || continue
    mkdir -p "$out/${state#.}"
    for file in "$state"/lab.log "$state"/crash-*.log "$state"/logs; do
        [ ! -e "$file" ] || cp -r "$file" "$out/${state#.}/"
    done
done
[ ! -d reports ] || cp -r reports "$out/"

tell status.json mesh-lab status -o json
tell doctor.json mesh-lab doctor -o json

[ -n "${KUBECONFIG:-}" ] || KUBECONFIG=$(mesh-lab status -o kubeconfig 2>/dev/null)
export KUBECONFIG
kubectl=(kubectl --request-timeout=10s)
if ! timeout 15 "${kubectl[@]}" version >"$out/version.txt" 2>&1; then
    echo "the cluster does not answer; of it there is only what is in files" >>"$out/version.txt"
    exit 0
fi
tell pods.txt "${kubectl[@]}" get pods -A -o wide
tell describe.txt "${kubectl[@]}" describe pods -A
tell events.txt "${kubectl[@]}" get events -A --sort-by=.lastTimestamp
tell workloads.txt "${kubectl[@]}" get deployments,replicasets,services,endpointslices -A -o wide
tell mesh.yaml "${kubectl[@]}" get -A -o yaml \
    virtualservices,destinationrules,gateways.networking.istio.io,sidecars,serviceentries,workloadentries,workloadgroups
tell policies.yaml "${kubectl[@]}" get -A -o yaml \
    peerauthentications,requestauthentications,authorizationpolicies,telemetries,proxyconfigs,envoyfilters,wasmplugins,trafficextensions
# A cluster has of these what its user has installed.
tell consul.yaml "${kubectl[@]}" get -A -o yaml --ignore-not-found \
    "$("${kubectl[@]}" api-resources --api-group=consul.hashicorp.com --no-headers -o name 2>/dev/null | paste -sd, -)"
tell gatewayapi.yaml "${kubectl[@]}" get -A -o yaml --ignore-not-found \
    "$("${kubectl[@]}" api-resources --api-group=gateway.networking.k8s.io --no-headers -o name 2>/dev/null | paste -sd, -)"
timeout 30 "${kubectl[@]}" get pods -A -o jsonpath='{range .items[*]}{.metadata.namespace} {.metadata.name}{"\n"}{end}' |
    while read -r namespace pod; do
        tell "pods/$namespace.$pod.log" "${kubectl[@]}" logs -n "$namespace" "$pod" --all-containers --prefix --tail=2000 </dev/null
    done
exit 0
