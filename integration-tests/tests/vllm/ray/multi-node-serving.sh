#!/bin/bash
# Plays the script of this name in the base image: the same arguments, with the same effects on Ray.
role=$1
shift
timeout=300
more=()
for argument in "$@"; do
  case "$argument" in
    --ray_port=*) port=${argument#*=} ;;
    --ray_cluster_size=*) size=${argument#*=} ;;
    --ray_address=*) address=${argument#*=} ;;
    --ray_init_timeout=*) timeout=${argument#*=} ;;
    *) more+=("$argument") ;;
  esac
done
alive='import ray; ray.init(); print(sum(node["Alive"] for node in ray.nodes()))'
if [ "$role" = leader ]; then
  ray start --head --port="$port" "${more[@]}"
  for ((waited = 0; waited < timeout; waited += 5)); do
    [ "$(python3 -c "$alive")" = "$size" ] && exit 0
    sleep 5
  done
  exit 1
fi
for ((waited = 0; waited < timeout; waited += 5)); do
  ray start --address="$address:$port" --block "${more[@]}" && exit 0
  sleep 5
done
exit 1
