#!/bin/sh
# Runs locust's master once, then keeps the container, and with it what locust wrote to /reports, until the pod is deleted:
# a Deployment would start it a second time.
locust "$@" &
locust=$!
trap 'kill -TERM $locust 2>/dev/null; exit 0' TERM INT
wait $locust
echo "MESH-LAB EXIT $?"
sleep 86400 &
wait $!
