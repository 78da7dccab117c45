#!/bin/sh
# Three agents work on six files, by commands alone. One is killed while it has a file, and another agent does that file too.
#
# Run it in a repository that uses Octet: sh examples/workflow.sh
set -eu
OCTET_RUN=workflow-$$
export OCTET_RUN
trap 'octet gc --run "$OCTET_RUN" >/dev/null' EXIT

# Step 1: set up.
octet map start analysis file1.ts file2.ts file3.ts file4.ts file5.ts file6.ts

# Step 2: one agent begins and dies; three others take files until none is left.
( octet map take analysis --lease 1s >/dev/null; exec sleep 60 ) &
dies=$!
while [ "$(octet map show analysis --json | sed 's/.*"leased": \([0-9]*\).*/\1/')" != 1 ]; do sleep 0.05; done
kill -9 "$dies"
echo "killed an agent with a file"

agent() {
  while item=$(octet map take analysis --wait 20s 2>/dev/null); do
    file=$(printf '%s\n' "$item" | head -n 1)
    octet map done analysis "${item##*token }" "{\"file\": \"$file\", \"by\": $1}" >/dev/null
  done
}
for number in 1 2 3; do agent "$number" & done

# Step 3: wait, by events. Step 4: collect.
octet map wait analysis --wait 30s
wait
count=$(octet map results analysis | grep -c '"file": "file[1-6].ts"')
[ "$count" = 6 ]

# Step 5: clean up.
octet map clear analysis
echo "ended right: $count results"
