# Turns a bare Debian tree into what all hosts of a lab have in common. Runs inside the tree.
set -eu
export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8 PATH=/usr/sbin:/usr/bin:/sbin:/bin

# Hosts get keys and an id of their own.
rm -f /etc/ssh/ssh_host_* /etc/machine-id /var/lib/dbus/machine-id /etc/hostname /etc/resolv.conf

# What was needed to build the tree from this machine's package source.
rm -rf /etc/apt/apt.conf.d/99mmdebstrap /etc/apt/auth.conf.d/* /var/lib/apt/lists/* /var/cache/apt/*.bin
: > /etc/apt/sources.list

# One user with sudo as it comes, one who has to give a password.
useradd --create-home --shell /bin/bash admin
useradd --create-home --shell /bin/bash --groups sudo ops
echo 'ops:ops-password' | chpasswd
echo 'admin ALL=(ALL:ALL) NOPASSWD:ALL' > /etc/sudoers.d/admin
chmod 0440 /etc/sudoers.d/admin
for user in root admin ops; do
	home=$(getent passwd "$user" | cut -d: -f6)
	install -d -m 0700 -o "$user" -g "$user" "$home/.ssh"
	install -m 0600 -o "$user" -g "$user" /dev/null "$home/.ssh/authorized_keys"
done

systemctl --quiet enable systemd-networkd.service ssh.service
systemctl --quiet set-default multi-user.target

# Nobody looks at these hosts' screens, and what timers do would come in the middle of a test.
# Existing and missing units alike: releases differ.
for unit in getty@.service getty.target console-getty.service serial-getty@.service container-getty@.service \
	apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service \
	fstrim.timer logrotate.timer man-db.timer systemd-tmpfiles-clean.timer \
	systemd-ask-password-console.path systemd-ask-password-wall.path \
	systemd-journal-catalog-update.service systemd-hwdb-update.service systemd-firstboot.service \
	systemd-update-utmp.service systemd-update-utmp-runlevel.service systemd-journal-flush.service \
	ldconfig.service dev-hugepages.mount sys-kernel-debug.mount sys-kernel-tracing.mount; do
	ln -sf /dev/null "/etc/systemd/system/$unit"
done
install -d /etc/systemd/journald.conf.d
printf '[Journal]\nStorage=volatile\nRuntimeMaxUse=8M\nReadKMsg=no\n' > /etc/systemd/journald.conf.d/cm-lab.conf

# The lab's own packages are known without asking any network.
apt-get -qq update
rm -rf /var/log/apt /var/log/dpkg.log /var/log/bootstrap.log /var/log/alternatives.log
install -d /var/log/apt
if command -v python3 >/dev/null; then
	echo 'python3 is in the image: hosts must prove that nothing needs it' >&2
	exit 1
fi
