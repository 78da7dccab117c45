#!/bin/sh
# Example 2: three agents do one step each: search, analyse, report. The analyst is killed; another agent
# begins its step again when its lease has run out, and the reporter waits for that, by events.
#
# Run it in a repository that uses Octet: sh examples/sequential_pipeline.sh
set -eu
OCTET_RUN=pipeline-$$
export OCTET_RUN
trap 'octet gc --run "$OCTET_RUN" >/dev/null' EXIT

token() { sed -n 's/^token //p'; }

octet pipeline start report search analyse report

# Agent 3 waits for step 2 from the beginning.
(
  turn=$(octet pipeline step start report report --wait 30s)
  lines=$(printf '%s\n' "$turn" | head -n 1)
  octet pipeline step done report "$(printf '%s\n' "$turn" | token)" "report of $lines"
) &
reporter=$!

# Agent 1 searches.
turn=$(octet pipeline step start report search)
octet pipeline step done report "$(printf '%s\n' "$turn" | token)" '["file1.ts", "file2.ts"]'

# Agent 2 begins to analyse, and dies.
begun=$(mktemp)
( octet pipeline step start report analyse --wait 10s --lease 1s >"$begun"; exec sleep 60 ) &
analyst=$!
octet pipeline wait report --step search >/dev/null
while ! grep -q token "$begun"; do sleep 0.05; done
kill -9 "$analyst"
echo "killed the analyst"
rm -f "$begun"

# Agent 4 takes over: it waits for the dead agent's lease, and gets the files again.
turn=$(octet pipeline step start report analyse --wait 30s)
files=$(printf '%s\n' "$turn" | head -n 1)
[ "$files" = '["file1.ts", "file2.ts"]' ]
octet pipeline step done report "$(printf '%s\n' "$turn" | token)" '{"total_lines": 500}'

wait "$reporter"
[ "$(octet pipeline wait report --wait 30s)" = 'report of {"total_lines": 500}' ]
echo "ended right: $(octet pipeline wait report)"
