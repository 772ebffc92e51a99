#!/bin/sh
cat <<'END'
{
  "web": { "hosts": ["w1", "w2"], "vars": { "a": 1, "list": [1, "x", null] }, "children": ["inner"] },
  "inner": ["i1"],
  "solo": { "x": 1, "y": true },
  "vars_only": { "vars": { "q": 1 } },
  "all": { "vars": { "everywhere": "yes" } },
  "_meta": { "hostvars": { "w1": { "ansible_host": "10.0.0.1", "deep": { "a": [1.5, "\u00e9\ud83d\ude00"] } }, "solo": { "z": 2 }, "nobody": { "n": 1 } } }
}
END
