# SPDX-License-Identifier: LGPL-2.1-or-later
"""What is written for users has everything that there is, and nothing else."""

import os
import re
import subprocess
import unittest

from tree import files, read


def plain(roff):
    """A manual page without its markup."""
    text = re.sub(r"\\f[BIRP]", "", roff)
    text = text.replace("\\-", "-").replace("\\&", "").replace('"', "")
    return re.sub(r"[ \t]+", " ", re.sub(r"^\.\w+ ?", "", text, flags=re.MULTILINE))


def squeeze(text):
    return re.sub(r"\s+", "", text)


def prototypes():
    """{function: its declaration without blanks} of the public header."""
    header = re.sub(r"/\*.*?\*/", "", read("client/libxenvram/xenvram.h"), flags=re.DOTALL)
    header = re.sub(r"\{[^{}]*\}", ";", re.sub(r"^#.*$", "", header, flags=re.MULTILINE))
    found = {}
    for statement in header.split(";"):
        match = re.search(r"(?:static inline )?((?:const |struct )*\w+ \**)(xenvram_\w+)\((.*)\)$", statement.strip(), re.DOTALL)
        if match:
            found[match[2]] = match[1] + match[3], statement
    return found


class Library(unittest.TestCase):
    def setUp(self):
        self.functions = prototypes()
        self.assertGreater(len(self.functions), 30)

    def test_version_script(self):
        exported = re.findall(r"^\t\t(xenvram_\w+);$", read("client/libxenvram/libxenvram.map"), re.MULTILINE)
        inline = {name for name, (_, statement) in self.functions.items() if "static inline" in statement}
        self.assertEqual(exported, sorted(exported))
        self.assertEqual(set(exported), set(self.functions) - inline)

    def test_synopsis(self):
        synopsis, description = read("client/libxenvram/libxenvram.3").split(".SH DESCRIPTION")
        written = {}
        for declaration in plain(synopsis).split(";"):
            match = re.search(r"(\w[\w ]*? \**)(xenvram_\w+)\((.*)\)\s*$", declaration, re.DOTALL)
            if match:
                written[match[2]] = match[3]
        self.assertEqual(set(written), set(self.functions))
        for name, arguments in written.items():
            declared = self.functions[name][1]
            # The manual leaves out the names of a callback's parameters.
            for word in re.findall(r"\w+", arguments):
                self.assertRegex(declared, rf"\b{word}\b", f"{name}: the manual has {word}")
            self.assertEqual(arguments.count(","), declared.count(","), name)

    def test_every_function_is_described(self):
        description = plain(read("client/libxenvram/libxenvram.3").split(".SH DESCRIPTION")[1])
        missing = [name for name in self.functions if not re.search(rf"\b{name}\b", description)]
        self.assertEqual(missing, [])


class Command(unittest.TestCase):
    def help_of(self, *arguments):
        done = subprocess.run([os.environ["XENVRAMCTL"], *arguments, "--help"], capture_output=True, text=True)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return done.stdout

    def setUp(self):
        self.manual = plain(read("client/xenvramctl/xenvramctl.1").split(".SH COMMANDS")[1])
        self.commands = re.findall(r"^  (\w[\w-]*) ", self.help_of(), re.MULTILINE)
        self.assertGreater(len(self.commands), 10)

    def test_commands(self):
        manual = self.manual.split("OPTIONS\n")[0]
        for name in self.commands:
            self.assertRegex(manual, rf"(?m)^{name}\b", f"the manual has no {name}")

    def test_options(self):
        options = {option for name in self.commands for option in re.findall(r"--[\w-]+", self.help_of(name))}
        options |= set(re.findall(r"--[\w-]+", self.help_of()))
        self.assertEqual(options, set(re.findall(r"--[a-z][\w-]+", self.manual)) )


class Daemon(unittest.TestCase):
    def test_options(self):
        (shown,) = re.findall(r"static const char help\[\] =(.*?);\n\n", read("daemon/main.c"), re.DOTALL)
        written = {f"--{name}" for name in re.findall(r"\bFl Fl ([\w-]+)", read("daemon/xenvramd.8"))}
        self.assertEqual(set(re.findall(r"--[\w-]+", shown)), written)


class Paths(unittest.TestCase):
    """Files that documents name are there."""

    def test_paths(self):
        everything = [path for folder in ("client", "daemon", "proto", "systemd", "tests") for path in files(folder, "")]
        known = set(everything) | {path.rpartition(".")[0] for path in everything}
        known |= {path[: m.start()] for path in everything for m in re.finditer("/", path)}
        places = ("", "client/", "daemon/", "tests/")
        for document in ("README.md", "ARCHITECTURE.md", "proto/PROTOCOL.md"):
            for name in re.findall(r"`((?:[\w-]+/)+[\w.-]*)`", read(document)):
                self.assertTrue(any(place + name.rstrip("/") in known for place in places), f"{document}: {name}")


class Protocol(unittest.TestCase):
    def test_every_operation_is_explained(self):
        (operations,) = re.findall(r"oneof operation \{(.*?)\n  \}", read("proto/xenvram.proto"), re.DOTALL)
        rules = read("proto/PROTOCOL.md")
        for name in re.findall(r"^    (\w+) \w+ = \d+;", operations, re.MULTILINE):
            self.assertRegex(rules, rf"\b{name}\b")

    def test_statuses_are_the_grammars(self):
        grammar = read("proto/xenvram.proto")
        for name in set(re.findall(r"`([A-Z][A-Z_]+)`", read("proto/PROTOCOL.md"))):
            self.assertRegex(grammar, rf"(?m)^  {name} = \d+;")


class Project(unittest.TestCase):
    def test_packages_have_a_reason(self):
        (listed,) = re.findall(r"^readonly packages=\((.*?)\)", read("dev"), re.MULTILINE | re.DOTALL)
        (for_xen,) = re.findall(r"^host_packages=\((.*?)\)", read("tests/xen/setup.sh"), re.MULTILINE)
        table = "\n".join(line for line in read("README.md").splitlines() if line.startswith("|"))
        named = set(re.findall(r"[\w+.-]+", " ".join(line.split("|")[1] for line in table.splitlines())))
        self.assertEqual(set((listed + " " + for_xen).split()) - named, set())

    def test_every_test_is_run(self):
        for folder, pattern, of in (
            ("tests/integration", r"/test_(\w+)\.py$", r"(?m)^    {}\)?$"),
            ("tests/rules", r"/test_(\w+)\.py$", r"\b{}\b"),
            ("tests/unit", r"/(\w+)_test\.c$", r"\b{}\b"),
            ("tests/xen/e2e", r"/([\w-]+)\.sh$", r"e2e/{}\.sh\b"),
            ("tests/fuzz", r"/fuzz_(\w+)\.c$", r"\b{}\b"),
        ):
            cmake = read(f"{os.path.dirname(folder) if folder.endswith('e2e') else folder}/CMakeLists.txt")
            for path in files(folder, ".py", ".c", ".sh"):
                match = re.search(pattern, path)
                if match:
                    self.assertRegex(cmake, of.format(match[1]), f"{path} is not run")

    def test_licence(self):
        endings = (".c", ".h", ".py", ".sh", ".S", ".map", ".proto", ".pml", ".1", ".3", ".5", ".8", ".conf", ".service", ".socket", "CMakeLists.txt")
        for folder in ("client", "daemon", "proto", "systemd", "tests"):
            for path in files(folder, *endings):
                top = "".join(read(path).splitlines(keepends=True)[:2])
                self.assertIn("SPDX-License-Identifier: LGPL-2.1-or-later", top, path)


if __name__ == "__main__":
    unittest.main()
