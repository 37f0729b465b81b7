mark=1
until [ -z "$mark" ] && ! kill -0 "$child"; do
    mark=
    wait "$child"
    code=$?
done
[ -z "$over" ] || die ALRM
[ "$code" = 0 ] || [ -z "$told" ] || die ALRM
sweep
crop
# Slurm's accounting keeps of an exit code above 128 what is above 128; of a signal it keeps the signal.
case $((code - 128)) in [1-9] | 1[01235] | 24 | 25 | 31) die $((code - 128)) ;; esac
[ "$code" = 0 ] || exit "$code"
