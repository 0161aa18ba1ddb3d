#!/usr/bin/env bash
# Runs action.yml as a GitHub runner does, on this machine.
#
#   tools/run_action.sh [INPUT=VALUE ...] [-- COMMAND ...]
#
# Each `run` step is a file that `bash --noprofile --norc -e -o pipefail` runs, with the step's variables and with what earlier steps
# have appended to GITHUB_ENV and GITHUB_PATH. After a failure only those steps run whose condition asks for it. A `uses` step is
# only told of. COMMAND is run as the job's next step, when all went well. The exit code is that of the first step that failed.
#
# The files of the run are in RUNNER_TEMP, which is made (and removed) unless it is given.
set -uo pipefail

action=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
python=${PYTHON:-python3}
inputs=()
while [ $# -gt 0 ] && [ "$1" != -- ]; do
    inputs+=("$1")
    shift
done
[ $# -eq 0 ] || shift

if [ -z "${RUNNER_TEMP:-}" ]; then
    RUNNER_TEMP=$(mktemp -d)
    trap 'rm -rf "$RUNNER_TEMP"' EXIT
fi
export RUNNER_TEMP CI=true GITHUB_ACTIONS=true RUNNER_OS=Linux GITHUB_WORKSPACE=$PWD GITHUB_ACTION_PATH=$action
files=$(mktemp -d "$RUNNER_TEMP/runner-XXXXXX")
export GITHUB_ENV=$files/env GITHUB_PATH=$files/path GITHUB_OUTPUT=$files/output
touch "$GITHUB_ENV" "$GITHUB_PATH" "$GITHUB_OUTPUT"

# What earlier steps have set, for a step that is about to begin.
take_over() {
    local name value line
    while IFS= read -r line; do PATH=$line:$PATH; done <"$GITHUB_PATH"
    while IFS='=' read -r name value; do export "$name=$value"; done <"$GITHUB_ENV"
    : >"$GITHUB_PATH"
    : >"$GITHUB_ENV"
}

"$python" "$action/tools/action_steps.py" "$files/steps" ${inputs[@]+"${inputs[@]}"} || exit 2
failed=0
for step in "$files"/steps/*; do
    take_over
    name=$(<"$step/name")
    kind=$(<"$step/kind")
    [ $failed -eq 0 ] || kind=$(<"$step/kind-failed")
    case $kind in
        skip) continue ;;
        uses)
            text=$(<"$step/script")
            while IFS='=' read -r output value; do text=${text//"@$output@"/$value}; done <"$GITHUB_OUTPUT"
            echo "== $name: $text"
            ;;
        run)
            echo "== $name"
            variables=()
            while IFS= read -r -d '' each; do variables+=("$each"); done <"$step/environment"
            env ${variables[@]+"${variables[@]}"} bash --noprofile --norc -e -o pipefail "$step/script"
            code=$?
            if [ $code -ne 0 ]; then
                echo "== $name: failed with exit code $code"
                [ $failed -ne 0 ] || failed=$code
            fi
            ;;
    esac
done
take_over
if [ $failed -eq 0 ] && [ $# -gt 0 ]; then
    echo "== $*"
    "$@"
    failed=$?
fi
exit $failed
