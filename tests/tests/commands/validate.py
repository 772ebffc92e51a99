"""Validates YAML documents by a JSON Schema, for the tests of `cm schema`.

Standard input: {"schema": ..., "documents": [text, ...]}; standard output: a list, null or the first error for each.
"""

import json
import re
import sys

import jsonschema
import yaml


class Yaml12(yaml.SafeLoader):
    """Of plain words only `true` and `false` are booleans, and none is a date."""


TAGS = ("tag:yaml.org,2002:bool", "tag:yaml.org,2002:timestamp")
Yaml12.yaml_implicit_resolvers = {
    first: [(tag, expression) for tag, expression in resolvers if tag not in TAGS]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
Yaml12.add_implicit_resolver(TAGS[0], re.compile("^(?:true|false)$"), list("tf"))

request = json.load(sys.stdin)
jsonschema.Draft7Validator.check_schema(request["schema"])
validator = jsonschema.Draft7Validator(request["schema"])


def first_error(text):
    errors = list(validator.iter_errors(yaml.load(text, Yaml12)))
    if not errors:
        return None
    best = jsonschema.exceptions.best_match(errors)
    return "/".join(map(str, best.absolute_path)) + ": " + best.message[:300]


json.dump([first_error(text) for text in request["documents"]], sys.stdout)
