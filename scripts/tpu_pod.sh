#!/usr/bin/env bash
# Requests, uses and deletes a Cloud TPU slice; docs/tpu_pods.md says how to use it.
set -euo pipefail

usage() {
  cat <<'HELP'
usage: scripts/tpu_pod.sh [--dry-run] COMMAND

  create         ask for the slice (a queued resource: it comes when there is room)
  status         the request's state, and the end of the training's log
  install        put this checkout's last commit on every worker, and install it there
  train ARGS     `avloc train ARGS --distributed auto` on every worker; again: goes on
  stop           training saves and stops, on all workers
  fetch FROM TO  copy a folder from worker 0, such as a run
  delete         give the slice back

Settings, from the environment:
  TPU_NAME       name of the slice                          (needed)
  ZONE           where it is, such as us-east1-d            (needed)
  ACCELERATOR    create: v4-32, v5litepod-16, v6e-16, ...   (needed)
  PROJECT        default: gcloud's own
  RUNTIME        create: software of the machines; default: by ACCELERATOR
  SPOT=1         create: cheaper, and taken away at any time
  SHARE          install: HOST:/PATH, an NFS share that becomes /mnt/avloc on every worker
  --dry-run      show the gcloud commands, and run none
HELP
}

fail() {
  echo "tpu_pod.sh: $*" >&2
  exit 2
}

need() {
  local name
  for name in "$@"; do
    [[ -n ${!name:-} ]] || fail "set $name (see scripts/tpu_pod.sh --help)"
  done
}

run() {
  printf '+' >&2
  printf ' %q' "$@" >&2
  printf '\n' >&2
  [[ -n $dry ]] || "$@"
}

where() {
  need TPU_NAME ZONE
  at=(--zone "$ZONE")
  [[ -z ${PROJECT:-} ]] || at+=(--project "$PROJECT")
}

# Matches a training in the process list of its machine, but not the shell that searches for it.
training='^[^ ]*python[^ ]* [^ ]*/avloc train'

# on WORKERS COMMAND
on() {
  run gcloud compute tpus tpu-vm ssh "$TPU_NAME" "${at[@]}" --worker "$1" --command "$2"
}

runtime_of() {
  case $1 in
    v4-*) echo tpu-ubuntu2204-base ;;
    v5litepod-*) echo v2-alpha-tpuv5-lite ;;
    v6e-*) echo v2-alpha-tpuv6e ;;
    *) fail "ACCELERATOR is v4-N, v5litepod-N or v6e-N, not $1; for others set RUNTIME too" ;;
  esac
}

create() {
  need ACCELERATOR
  local runtime=${RUNTIME:-}
  [[ -n $runtime ]] || runtime=$(runtime_of "$ACCELERATOR")
  local more=()
  [[ ${SPOT:-} != 1 ]] || more=(--spot)
  run gcloud compute tpus queued-resources create "$TPU_NAME" "${at[@]}" --node-id "$TPU_NAME" \
    --accelerator-type "$ACCELERATOR" --runtime-version "$runtime" ${more[@]+"${more[@]}"}
}

status() {
  run gcloud compute tpus queued-resources describe "$TPU_NAME" "${at[@]}" \
    --format 'value(state.state)'
  on 0 'tail -n 20 avloc.log || echo "no training was started"'
}

install() {
  local root archive
  root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
  scratch=$(mktemp -d)
  trap 'rm -rf "$scratch"' EXIT
  archive=$scratch/avloc.tar.gz
  if [ -e "$root/.git" ]; then
    git -C "$root" archive --format tar.gz --prefix avloc/ -o "$archive" HEAD
  else  # an unpacked sdist
    tar -C "$root" --exclude ./.venv --exclude ./runs --transform 's|^\.|avloc|' -czf "$archive" .
  fi
  run gcloud compute tpus tpu-vm scp "$archive" "$TPU_NAME:avloc.tar.gz" "${at[@]}" --worker all
  # The machines come with Python 3.10.
  local script='set -eu
rm -rf avloc && tar -xzf avloc.tar.gz
if [ ! -x env/bin/python ]; then
  sudo add-apt-repository -y ppa:deadsnakes/ppa
  sudo apt-get install -y python3.11 python3.11-venv nfs-common
  python3.11 -m venv env
fi
env/bin/pip install -q -c avloc/requirements/3.11.lock "./avloc[tpu]"'
  if [[ -n ${SHARE:-} ]]; then
    local share
    printf -v share '%q' "$SHARE"
    script+="
sudo mkdir -p /mnt/avloc
mountpoint -q /mnt/avloc || sudo mount -t nfs $share /mnt/avloc
sudo chmod a+rwx /mnt/avloc"
  fi
  on all "$script"
}

train() {
  [[ $# -gt 0 ]] || fail "train needs avloc's arguments, such as --workdir /mnt/avloc/runs/one"
  local words
  printf -v words ' %q' "$@"
  # It outlives the connection. Only worker 0 prints.
  on all "if pgrep -f '$training' >/dev/null; then echo 'already training' >&2; exit 1; fi
cd avloc && setsid nohup ../env/bin/avloc train$words --distributed auto \\
  >../avloc.log 2>&1 </dev/null &"
}

stop() {
  on 0 "pkill -TERM -f '$training' || { echo 'no training is running there' >&2; exit 1; }"
}

fetch() {
  [[ $# -eq 2 ]] || fail "fetch needs two folders: the one on worker 0, and where to put it"
  run gcloud compute tpus tpu-vm scp --recurse "$TPU_NAME:$1" "$2" "${at[@]}" --worker 0
}

delete() {
  # Forced, because otherwise only a pending request can be deleted.
  run gcloud compute tpus queued-resources delete "$TPU_NAME" "${at[@]}" --force --quiet
}

dry=
if [[ ${1:-} == --dry-run ]]; then
  dry=1
  shift
fi
command=${1:-}
case $command in
  create | status | install | train | stop | fetch | delete)
    shift
    where
    "$command" "$@"
    ;;
  -h | --help) usage ;;
  *)
    usage >&2
    fail "there is no command '$command'"
    ;;
esac
