#!/bin/sh
# Gives a virtual host the lab's users: admin (sudo), ops (sudo with a password), and the lab's key for all.
# Its arguments are the names and addresses of all hosts: users.sh web1 192.168.56.11 db1 192.168.56.12
set -eu

for user in admin ops; do
	getent passwd "$user" >/dev/null || useradd --create-home --shell /bin/bash "$user"
done
usermod --append --groups sudo ops
echo 'ops:ops-password' | chpasswd
echo 'admin ALL=(ALL:ALL) NOPASSWD:ALL' > /etc/sudoers.d/admin
chmod 0440 /etc/sudoers.d/admin

for user in root admin ops; do
	home=$(getent passwd "$user" | cut -d: -f6)
	install -d -m 0700 -o "$user" -g "$user" "$home/.ssh"
	install -m 0600 -o "$user" -g "$user" /tmp/lab_key.pub "$home/.ssh/authorized_keys"
done
rm -f /tmp/lab_key.pub

# Hosts know each other by name.
while [ $# -gt 1 ]; do
	name=$1
	address=$2
	shift 2
	grep -q "^$address " /etc/hosts || echo "$address $name" >> /etc/hosts
done
