import json


def parse(text, schema):
    return json.loads(text)


def strings_inert(v):
    return v


def check_schema(s):
    pass
