log=${log/%%j.log/$SLURM_JOB_ID.log}
# Its output and its files are this user's alone, whatever the site's own mask is.
umask 077
chmod -- 600 "$log"
export PATH=${PATH:-/usr/local/bin:/usr/bin:/bin} HOME=${HOME:-~}
# What bash itself has to say is nobody's.
exec 3>&2 2>/dev/null
child='' told='' over='' mark='' halted=''

# By the environment: a process that went apart is found too.
sweep() {
    kill -s KILL $(grep -lsxz "SLURM_JOB_NAME=$SLURM_JOB_NAME" /proc/[0-9]*/environ | cut -d/ -f3 | grep -vx "$$")
}
# Ends by a signal, which no end of the program is told by.
die() {
    sweep
    crop
    ulimit -S -c 0
    trap - "$1"
    kill -s "$1" $$
}
fail() {
    echo "madang: $2"
    die "$1"
}
# Helpers do not die of what is meant for the program.
calm() { trap '' USR1 USR2 INT HUP TERM; }
# To all of the program: its group, those that went apart, and its steps on other machines.
all() {
    kill -s "$1" -- "-$child"
    kill -s "$1" $(grep -lsxz "MADANG_PROGRAM=$SLURM_JOB_ID" /proc/[0-9]*/environ | cut -d/ -f3)
    [ "$SLURM_JOB_NUM_NODES" = 1 ] || scancel --signal="$1" "$SLURM_JOB_ID"
}
# It stands still; who is being stopped needs its time for that. Twice, for who was begun meanwhile.
still() {
    mark=1
    [ -z "$told$over" ] || return
    halted=1
    [ -z "$child" ] || { all STOP; all STOP; }
}
go() {
    mark=1
    [ -n "$halted" ] || return
    halted=''
    [ -z "$child" ] || all CONT
}
pass() {
    told=1 mark=1
    [ -z "$child" ] || kill -s "$1" -- "-$child"
    go
}
stop() {
    over=1 mark=1
    [ -n "$child" ] || die ALRM
    kill -s TERM -- "-$child"
    go
    (calm; sleep "$stop_s"; kill -s KILL -- "-$child") &
}
for name in USR1 USR2 INT HUP TERM; do trap "pass $name" "$name"; done
trap 'pass "$signal"' XCPU
trap stop URG ALRM
trap still WINCH
trap go CONT

# The beginning of a long output goes: its place in the file stays empty.
crop() {
    local bytes
    bytes=$(stat -c %s "$log") && [ "$bytes" -gt "$log_bytes_max" ] || return 0
    fallocate -p -o 0 -l $((bytes - log_bytes_max)) "$log"
}
# Addresses of objects are on no command line, and in no variable that a program has.
declare -a get=() put=()
take_urls() {
    [ ! -e "$urls" ] || { . "$urls" && rm -f -- "$urls"; } || fail "$1" "the addresses of its files cannot be read"
}
store() {
    printf 'url = "%s"\n' "$1" | curl -sS --proto '=https,http' --retry 3 --connect-timeout 15 --speed-limit 1 --speed-time 60 \
        -w '%{http_code}' -K - "${@:2}"
}
stored() {
    [ "$2" = 200 ] || fail "$1" "$3: its store answered $2"
}
bring() {
    mkdir -p -- "$(dirname -- "$2")"
    case $1 in
        s3://*) stored PROF "$(store "${get[$4]}" -o "$2")" "the input $1 cannot be had" ;;
        https://*) curl -fsSL --proto '=https' --retry 3 -o "$2" -- "$1" ;;
        *) cp -RL -- "$1" "$2" ;;
    esac || fail PROF "the input $1 cannot be had"
    [ -z "$3" ] || echo "${3,,}  $2" | sha256sum -c --status - || fail PROF "the input $1 does not have the SHA-256 $3"
}
keep() {
    case $2 in
        s3://*)
            [ -f "$1" ] || fail VTALRM "the output $1 is not there"
            [ "$(stat -Lc %s -- "$1")" -le "$put_bytes_max" ] ||
                fail VTALRM "the output $1 has more than $put_bytes_max bytes, which is the most that is put in a store from here"
            take_urls VTALRM
            stored VTALRM "$(store "${put[$3]}" -T "$1" -o /dev/null)" "the output $1 cannot be kept at $2"
            return
            ;;
        https://*) curl -fsS --proto '=https' --retry 3 -T "$1" -- "$2" ;;
        *) cp -R -- "$1" "$2.madang-part" && mv -T -- "$2.madang-part" "$2" ;;
    esac && return
    case $2 in /*) rm -rf -- "$2.madang-part" ;; esac
    fail VTALRM "the output $1 cannot be kept at $2"
}
# The numbers of this machine's accelerators of a kind for which Slurm sets no variable.
devices() {
    scontrol show job -d "$SLURM_JOB_ID" | sed -n "s/^ *Nodes=.*GRES=.*$1:[^(]*(IDX:\([0-9,-]*\)).*/\1/p" | head -n 1 |
        tr , '\n' | while IFS=- read -r first last; do seq "$first" "${last:-$first}"; done | paste -sd,
}
take_secrets() {
    # For whoever looks after it; without secrets.
    export -p >.madang-env
    [ ! -e "$secrets" ] || { . "$secrets" && rm -f -- "$secrets"; } || fail PROF "its secrets cannot be read"
}
begin() {
    (calm; while sleep 2; do crop; done) &
    if [ -n "$grace_s" ]; then
        (calm; sleep "$warn_s"; kill -s XCPU $$; sleep "$grace_s"; kill -s ALRM $$) &
    else
        (calm; sleep "$limit_s"; kill -s ALRM $$) &
    fi
    # In a process group of its own, which signals are for.
    set -m
    MADANG_PROGRAM=$SLURM_JOB_ID "$@" 2>&3 3>&- </dev/null &
    child=$!
    set +m
    [ -z "$halted" ] || all STOP
}

mkdir -p -m 700 -- "$folder" && cd -- "$folder" || fail PROF "its folder $folder cannot be made"
# Slurm may begin a job again; the run is one all the same.
mkdir -- ".madang-$run" || fail PROF "it was begun before"
take_urls PROF
