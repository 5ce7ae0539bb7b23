"""The tool `python`: a program, run by CPython inside the sandbox.

What a program may import of the standard library is imported here: a component holds what was loaded when it was built,
and nothing else. Modules of the workspace are found as files.
"""

import abc, argparse, array, ast, base64, binascii, bisect, calendar, cmath, collections.abc, colorsys, configparser
import contextlib, copy, csv, dataclasses, datetime, decimal, difflib, email.message, email.parser, enum, errno, fnmatch
import fractions, functools, glob, graphlib, gzip, hashlib, heapq, hmac, html.parser, http.client, importlib, inspect, io
import ipaddress, itertools, json, keyword, linecache, logging, math, mimetypes, numbers, operator, os, pathlib, pprint
import random, re, secrets, shlex, shutil, socket, statistics, string, struct, sys, tarfile, tempfile, textwrap, time
import timeit, tokenize, tomllib, traceback, types, typing, unicodedata, unittest, urllib.parse, urllib.request, uuid
import warnings, weakref, xml.dom.minidom, xml.etree.ElementTree, zipfile, zlib, zoneinfo
import encodings.idna, encodings.latin_1, encodings.utf_8_sig

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports import tool

HOME = "/work"
CODE = "<code>"
DESCRIPTION = (
    "Runs a Python 3 program and shows what it prints, and its result: the value of its last expression. The standard "
    "library's usual modules are there, and modules of the workspace; there are no packages, no processes and no threads. "
    "What the program writes is kept only when it ends without an uncaught exception."
)
with open(os.path.join(os.path.dirname(__file__), "schema.json")) as file:
    SCHEMA = file.read()


class Tool(exports.Tool):
    def definitions(self):
        return [tool.Definition("python", DESCRIPTION, SCHEMA)]

    def call(self, name, arguments):
        given = json.loads(arguments)
        if ("code" in given) == ("path" in given):
            raise Err(tool.Failure_Rejected("say either `code` or `path`, and not both"))
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            uncaught, result = ran(given)
        said = printed.getvalue()
        if uncaught:
            raise Err(tool.Failure_Rejected(text(joined(said, uncaught))))
        return tool.Output(text(joined(said, result)) or "(no output)", text(summary(said, result)))


def ran(given):
    """Runs a program and returns how it failed, or "" and what its value is."""
    os.chdir(HOME)
    # What the interpreter drew when the component was built is the same in every call.
    random.seed()
    try:
        path = given.get("path", CODE)
        code = given["code"] if "code" in given else pathlib.Path(path).read_text()
        program = types.ModuleType("__main__")
        program.__dict__.update(args=given.get("args"), __file__=path)
        sys.modules["__main__"] = program
        sys.path.insert(0, os.path.dirname(os.path.abspath(path)) if "path" in given else HOME)
        sys.argv = [path]
        value = evaluated(code, path, program.__dict__)
        return "", "" if value is None else f"result: {value!r}"
    except SystemExit as end:
        return ("" if end.code in (None, 0) else f"the program ended with exit code {end.code}"), ""
    except BaseException as error:
        return told(error), ""


def evaluated(code, path, names):
    """Runs a program's text; the value is that of its last statement, where that is an expression."""
    linecache.cache[path] = (len(code), None, code.splitlines(keepends=True), path)
    tree = ast.parse(code, path)
    last = ast.Expression(tree.body.pop().value) if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, path, "exec"), names)
    return eval(compile(last, path, "eval"), names) if last else None


def told(error):
    """Returns the traceback without the frames of this file."""
    trace = error.__traceback__
    while trace and trace.tb_frame.f_code.co_filename == __file__:
        trace = trace.tb_next
    return "".join(traceback.format_exception(type(error), error, trace)).rstrip("\n")


def text(said):
    """Returns what can be sent as UTF-8: half of a surrogate pair cannot."""
    return said.encode("utf-8", "replace").decode("utf-8")


def joined(said, last):
    return said if not last else f"{said}{'' if not said or said.endswith(chr(10)) else chr(10)}{last}"


def summary(said, result):
    lines = len(said.splitlines())
    return result[:80] or f"{lines} lines"
