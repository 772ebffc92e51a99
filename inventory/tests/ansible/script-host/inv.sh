#!/bin/sh
case "$1" in
--list) echo '{"web": ["w1", "w2", "w3"], "db": {"hosts": ["d1"], "vars": {"role": "db"}}}' ;;
--host) [ "$2" = w3 ] && echo '{}' || echo "{\"me\": \"$2\", \"role\": \"mine\"}" ;;
esac
