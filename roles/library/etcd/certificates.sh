#!/bin/sh
# Makes an authority, and certificates that it signs, for the role `etcd`:
#
#     certificates.sh FOLDER NAME=ADDRESS[,ADDRESS...] ...
#
# FOLDER/ca.pem and ca.key are the authority (made where they are missing), FOLDER/NAME.pem and NAME.key a member's.
# A NAME without addresses is a client's. What is there stays: remove NAME.pem to renew it. They are good for DAYS (825), the
# authority for AUTHORITY_DAYS (3650). Needs openssl 1.1.1 or newer.
set -eu
umask 077
folder=$1
shift
mkdir -p "$folder"
cd "$folder"
new_key() { openssl ecparam -name prime256v1 -genkey -noout -out "$1"; }
if ! [ -e ca.pem ]; then
    new_key ca.key
    openssl req -x509 -new -key ca.key -sha256 -days "${AUTHORITY_DAYS:-3650}" -subj "/CN=etcd authority" -out ca.pem
fi
for one in "$@"; do
    name=${one%%=*}
    ! [ -e "$name.pem" ] || continue
    names="DNS:$name"
    use=clientAuth
    if [ "$one" != "$name" ]; then
        use=serverAuth,clientAuth
        names="$names,DNS:localhost,IP:127.0.0.1"
        for address in $(echo "${one#*=}" | tr , ' '); do
            case $address in
            *[!0-9.]*) case $address in *:*) names="$names,IP:$address" ;; *) names="$names,DNS:$address" ;; esac ;;
            *) names="$names,IP:$address" ;;
            esac
        done
    fi
    [ -e "$name.key" ] || new_key "$name.key"
    printf 'subjectAltName=%s\nextendedKeyUsage=%s\nbasicConstraints=CA:false\n' "$names" "$use" >"$name.ext"
    openssl req -new -key "$name.key" -subj "/CN=$name" -out "$name.csr"
    openssl x509 -req -in "$name.csr" -CA ca.pem -CAkey ca.key -CAcreateserial -sha256 -days "${DAYS:-825}" \
        -extfile "$name.ext" -out "$name.pem" 2>/dev/null
    rm "$name.csr" "$name.ext"
done
