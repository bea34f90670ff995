# bash completion for lockdep(1).

_lockdep_commands="run explain graph merge dump stat"

# The processes that answer `lockdep dump`.
_lockdep_watched() {
  sed -n 's/.*@lockdep\/\([0-9][0-9]*\)$/\1/p' /proc/net/unix 2>/dev/null | sort -u
}

_lockdep() {
  local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]} i options=""
  COMPREPLY=()
  if [[ $COMP_CWORD -eq 1 ]]; then
    mapfile -t COMPREPLY < <(compgen -W "$_lockdep_commands --help --version" -- "$current")
    return
  fi
  # Behind `--` is the program's own command line.
  for ((i = 2; i < COMP_CWORD; ++i)); do
    [[ ${COMP_WORDS[1]} == run && ${COMP_WORDS[i]} == -- ]] || continue
    if declare -F _command_offset >/dev/null; then
      _command_offset $((i + 1))
    elif [[ $COMP_CWORD -eq $((i + 1)) ]]; then
      mapfile -t COMPREPLY < <(compgen -c -- "$current")
    else
      mapfile -t COMPREPLY < <(compgen -f -- "$current")
    fi
    return
  done
  case $previous in
    -o | --output | --suppressions | --save | --stat | --library)
      mapfile -t COMPREPLY < <(compgen -f -- "$current")
      return ;;
    --exit-code | --watchdog) return ;;
  esac
  case ${COMP_WORDS[1]} in
    run)
      options="-o --output --json --suppressions --save --stat --histograms --order-only --abort
               --exit-code --watchdog --no-children --library --help --" ;;
    explain) options="--text --help" ;;
    graph) options="-o --output --svg --help" ;;
    merge) options="-o --output --suppressions --json --order-only -q --quiet --exit-code --help" ;;
    dump | stat) options="--help" ;;
    *) return ;;
  esac
  if [[ $current == -* || ${COMP_WORDS[1]} == run ]]; then
    mapfile -t COMPREPLY < <(compgen -W "$options" -- "$current")
    return
  fi
  [[ ${COMP_WORDS[1]} == dump ]] ||
    mapfile -t COMPREPLY < <(compgen -f -- "$current")
  case ${COMP_WORDS[1]} in
    dump | stat)
      mapfile -t -O "${#COMPREPLY[@]}" COMPREPLY < <(compgen -W "$(_lockdep_watched)" -- "$current") ;;
  esac
}

complete -o filenames -F _lockdep lockdep
