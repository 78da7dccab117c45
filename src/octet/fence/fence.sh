# Below this line it is the same in every repository; docs/git-fence.md tells what it does. Builtins
# only, up to `ask`: a fork costs more than all the rest, and git runs this at every change of a ref.

goes_on() { [ -f "$octet_next" ] && [ -x "$octet_next" ]; }

if [ "$octet_hook" = reference-transaction ] && [ "${1-}" != prepared ]; then
  goes_on && exec "$octet_next" "$@"
  exit 0
fi

# Reads `OLD NEW REF` a line; sets `octet_moves` to those of protected branches, and `octet_head`
# where this worktree's HEAD moves.
read_refs() {
  octet_stale=
  # The patterns above are from `octet init`. Where the settings are newer, it asks about all branches
  # that an agent moves.
  [ "${CLAUDE_PID-}${OCTET_AGENT-}" ] && [ "$octet_settings" -nt "$0" ] && octet_stale=1
  while read -r octet_old octet_new octet_ref; do
    if is_protected "$octet_ref"; then
      case $octet_old-$octet_new in
        # Only zeros mean a deletion, whatever it was.
        *[!0-]*) [ "$octet_old" != "$octet_new" ] || continue ;;
      esac
      octet_moves=$octet_moves"$octet_old $octet_new $octet_ref$octet_nl"
    else
      case $octet_ref in
        HEAD) octet_head="$octet_old $octet_new HEAD$octet_nl" ;;
        refs/heads/octet/*) ;;
        refs/heads/*)
          [ ! "$octet_stale" ] || octet_moves=$octet_moves"$octet_old $octet_new $octet_ref$octet_nl"
          ;;
      esac
    fi
  done
}

# The same for pre-push: `LOCAL-REF LOCAL-OID REMOTE-REF REMOTE-OID` a line.
read_pushed() {
  while read -r octet_from octet_new octet_ref octet_old; do
    is_protected "$octet_ref" && octet_moves=$octet_moves"$octet_old $octet_new $octet_ref$octet_nl"
  done
}

# The same for pre-commit, which gets no lines: the branch that this worktree's HEAD names, and HEAD.
read_head() {
  octet_dir=${GIT_DIR:-.git} octet_line=
  [ -f "$octet_dir" ] && IFS= read -r octet_line < "$octet_dir" && octet_dir=${octet_line#gitdir: }
  [ -r "$octet_dir/HEAD" ] && IFS= read -r octet_line < "$octet_dir/HEAD"
  case $octet_line in "ref: "*) octet_line=${octet_line#ref: } ;; *) octet_line= ;; esac
  read_refs <<END
now next ${octet_line:-HEAD}
now next HEAD
END
}

# Whether to ask; sets `octet_near` where there are signs of an agent.
is_asked_about() {
  octet_near= octet_pids= octet_held= octet_trees=
  [ "$octet_moves$octet_head" ] && [ -e "$octet_approval" ] && [ -d "$octet_root" ] || return 1
  [ -r "$octet_state/fence" ] && . "$octet_state/fence"
  if [ "${CLAUDE_PID-}${OCTET_AGENT-}${OCTET_FENCE_TOKEN-}" ]; then
    octet_near=1
    [ ! "$octet_moves" ] || return 0
    [ ! "${OCTET_FENCE_TOKEN-}" ] && [ "$PWD" != "$octet_root" ] || return 1
    case $octet_trees in *"$octet_nl${CLAUDE_PID:-${OCTET_AGENT-}} $PWD$octet_nl"*) return 1 ;; esac
    return 0
  fi
  [ "$octet_moves" ] || return 1
  if has_agent_above "$PPID"; then
    octet_near=1
    return 0
  fi
  [ "$octet_hook" != pre-commit ] || return 1 # a person: the transaction will ask
  [ "$octet_unknown" ] && return 0
  case $octet_held in *"$octet_nl$octet_root$octet_nl"*) return 0 ;; esac
  [ -d "$octet_common/worktrees/octet-merge" ]
}

# Whether a process above $1 is an agent's, by /proc; sets `octet_unknown` where /proc does not tell.
has_agent_above() {
  octet_unknown=
  [ "$octet_pids" ] || return 1
  octet_above=$1
  while :; do
    case $octet_pids in *" $octet_above "*) return 0 ;; esac
    [ "$octet_above" -gt 1 ] || return 1
    octet_stat=
    [ -r "/proc/$octet_above/stat" ] && read -r octet_stat < "/proc/$octet_above/stat"
    octet_parent=${octet_stat##*") "} # a process's name may hold blanks and parentheses
    octet_parent=${octet_parent#* }
    octet_parent=${octet_parent%% *}
    case $octet_parent in
      '' | *[!0-9]*) octet_unknown=1; return 1 ;;
    esac
    octet_above=$octet_parent
  done
}

# Asks the daemon; ends the hook with 1 where git must not go on. Without an answer a person goes on.
ask() {
  octet_python= octet_package=
  octet_record=$octet_state/interpreter
  [ -r "$octet_record" ] && { IFS= read -r octet_python; IFS= read -r octet_package; } < "$octet_record"
  if [ -x "$octet_python" ] && [ -d "$octet_package" ]; then
    "$octet_python" -I -S -X utf8 -X "pycache_prefix=$octet_state/pyc" -c 'import sys
sys.path.insert(0, sys.argv[1])
try:
    from octet.fence import client
except ImportError:
    sys.exit(3)
client.main(sys.argv[2:])' "$octet_package" \
      "$octet_root" "$octet_state" "$octet_protected" "$PPID" "$octet_near" <<END
$octet_moves$octet_head
END
    case $? in
      0) return ;;
      2) exit 1 ;;
    esac
  fi
  [ "$octet_near" ] || return
  echo 'Octet: the fence of the protected branches cannot be asked, so this is refused: run `octet doctor`.' >&2
  exit 1
}

octet_nl='
'
octet_moves= octet_head= octet_unknown=
if [ "$octet_hook" = pre-commit ]; then
  read_head
  is_asked_about && ask
  goes_on && exec "$octet_next" "$@"
  exit 0
fi
[ "$octet_hook" = pre-push ] && octet_read_lines=read_pushed || octet_read_lines=read_refs
if goes_on; then
  octet_lines=$(cat)
  $octet_read_lines <<END
$octet_lines
END
  is_asked_about && ask
  [ "$octet_lines" ] || exec "$octet_next" "$@" </dev/null
  "$octet_next" "$@" <<END
$octet_lines
END
  exit
fi
$octet_read_lines
is_asked_about && ask
exit 0
