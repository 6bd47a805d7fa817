#!/usr/bin/env bash
# Runs each fuzz target for so many seconds, from the recorded datagrams and whatever earlier runs found.
#
#   fuzz.sh SECONDS [TARGET...]
#
# The corpus grows in fuzz/corpus; an input that breaks a property is left in fuzz/artifacts, and ends the run.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${1:?usage: fuzz.sh SECONDS [TARGET...]}
shift
targets=("$@")
if [ "${#targets[@]}" -eq 0 ]; then
  mapfile -t targets < <(basename --suffix=.rs --multiple fuzz/fuzz_targets/*.rs)
fi

export PATH="$PWD/.tools/bin:$PATH"
if ! command -v cargo-fuzz >/dev/null; then
  cargo install --quiet --locked --root .tools cargo-fuzz
fi
# The sanitizers' switches are unstable; this lets the stable compiler take them.
export RUSTC_BOOTSTRAP=1

rm -rf build/seeds
python3 scripts/fuzz_seeds.py build/seeds
log=$(mktemp)
trap 'rm -f "$log"' EXIT
for target in "${targets[@]}"; do
  echo "== $target, ${seconds} s"
  cargo fuzz build --fuzz-dir fuzz "$target" 2>"$log" || { cat "$log" >&2; exit 1; }
  mkdir -p "fuzz/corpus/$target"
  if ! cargo fuzz run --fuzz-dir fuzz "$target" "fuzz/corpus/$target" "build/seeds/$target" -- \
    "-max_total_time=$seconds" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 >"$log" 2>&1; then
    tail -n 60 "$log" >&2
    echo "$target: a property does not hold; the input is in fuzz/artifacts/$target" >&2
    exit 1
  fi
  grep -E 'cov: ' "$log" | tail -n 1
  grep -E '^stat::(number_of_executed_units|average_exec_per_sec|peak_rss_mb)' "$log"
done
