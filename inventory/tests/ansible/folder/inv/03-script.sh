#!/bin/sh
echo '{"cloud": {"hosts": ["c1", "w2"], "vars": {"g": "cloud"}}, "_meta": {"hostvars": {"w2": {"who": "script"}}}}'
