# Keeps a host going: starts systemd-nspawn again when the host reboots, ends when the host powers off.
#   keeper.sh CABLE KEEPER-ENTRANCE... -- MACHINE-ENTRANCE... -- SYSTEMD-NSPAWN...
cable=$1
shift
while [ "$1" != -- ]; do
	echo $$ > "$1" || exit 99
	shift
done
shift
# The shell that becomes systemd-nspawn joins the host's own cgroup first.
join='while [ "$1" != -- ]; do echo $$ > "$1" || exit 99; shift; done; shift; exec "$@"'
while :; do
	sh -c "$join" join "$@"
	# systemd-nspawn ends with 133 when the host has asked for a reboot.
	status=$?
	[ "$status" = 133 ] || exit "$status"
	# The kernel takes the old cable away, but not while a connection waits for its last answer.
	ip link delete dev "$cable" 2>/dev/null
	tries=0
	while [ -e "/sys/class/net/$cable" ] && [ "$tries" -lt 200 ]; do
		sleep 0.05
		tries=$((tries + 1))
	done
done
