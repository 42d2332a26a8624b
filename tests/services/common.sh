# shellcheck shell=bash
# Sourced by kafka.sh and elasticsearch.sh: cache, start, wait, stop.

CACHE=${SERVICES_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/logmill-services}

say() { echo "$NAME: $*" >&2; }

# resolve DIR POM GOAL [ARG...]: fill DIR once with a Maven dependency goal.
resolve() {
  local dir=$1 pom=$2 goal=$3
  shift 3
  [ -d "$dir" ] && return
  mkdir -p "$CACHE"
  (
    flock 9
    [ -d "$dir" ] && exit
    say "resolving $(basename "$dir")"
    rm -rf "$dir.part"
    mvn -q -B -f "$pom" "dependency:$goal" -DoutputDirectory="$dir.part" "$@" >"$dir.log" 2>&1 ||
      { cat "$dir.log" >&2; exit 1; }
    mv "$dir.part" "$dir"
  ) 9>"$CACHE/.lock"
}

alive() { [ -s "$RUN/pid" ] && kill -0 "$(cat "$RUN/pid")" 2>/dev/null; }

# await SECONDS COMMAND...: until COMMAND succeeds or the process is gone.
await() {
  local deadline=$((SECONDS + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    if ! alive || [ $SECONDS -ge $deadline ]; then
      say "not ready; the end of its log:"
      tail -n 20 "$RUN"/log/*.log >&2 || true
      stop
      exit 1
    fi
    sleep 0.2
  done
}

stop() {
  alive || return 0
  local pid
  pid=$(cat "$RUN/pid")
  kill "$pid"
  for _ in $(seq 100); do
    kill -0 "$pid" 2>/dev/null || break
    sleep 0.2
  done
  kill -9 "$pid" 2>/dev/null || true
  rm -f "$RUN/pid"
}
