"""What browser/check_page.mjs finds, and that it finds nothing on a page that is as it should be."""

import subprocess
import tempfile
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent
GOOD = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Stages</title>
<meta name="viewport" content="width=device-width"></head>
<body><main><h1>Stages</h1><p>Nothing was promoted yet. <a href="#more">More</a></p></main></body></html>"""


class CheckPage(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        subprocess.run([HERE / "setup_browser.sh"], check=True, stdout=subprocess.DEVNULL)

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def check(self, page: str) -> tuple[int, str]:
        """Exit code and all that is said of a page."""
        (self.folder / "page.html").write_text(page)
        return self.run_with(self.folder / "out", f"page={(self.folder / 'page.html').as_uri()}")

    def run_with(self, *arguments: object) -> tuple[int, str]:
        command = ["node", HERE / "browser" / "check_page.mjs", *arguments]
        done = subprocess.run(command, text=True, capture_output=True)
        return done.returncode, done.stdout + done.stderr

    def test_a_page_that_is_as_it_should_be_holds_and_leaves_pictures(self) -> None:
        code, said = self.check(GOOD)
        self.assertEqual(code, 0, said)
        self.assertIn("holds: page: ", said)
        pictures = sorted(it.name for it in (self.folder / "out").iterdir())
        self.assertEqual(pictures, ["page-desktop.png", "page-phone.png", "page-print.png", "page.pdf"])

    def test_each_thing_that_is_wrong_is_found(self) -> None:
        """All in one page, because a browser takes a second to start."""
        found = {
            '<html lang="en">': ("<html>", "html-has-lang"),
            "</main>": ('<img src="logo.png"></main>', "it loads `file://"),
            "<h1>Stages</h1>": (
                "<h1>Stages</h1><style>a { outline: none !important } p { width: 900px; color: #bbb }</style>"
                "<script>document.write('more')</script>",
                "it reads otherwise with JavaScript",
            ),
        }
        page = GOOD
        for part, (changed, _) in found.items():
            self.assertIn(part, page)
            page = page.replace(part, changed)
        code, said = self.check(page)
        self.assertEqual(code, 1, said)
        also = ("color-contrast", "image-alt", "the focus can't be seen on `<a href", "pixels wide on a screen of 320")
        for message in (*(message for _, message in found.values()), *also):
            self.assertIn(message, said)
        self.assertNotIn("\nholds: ", said)

    def test_a_large_page_is_found(self) -> None:
        code, said = self.check(GOOD.replace("Nothing", "Nothing " * 50_000))
        self.assertEqual(code, 1)
        self.assertIn("bytes, more than 300000", said)

    def test_wrong_use(self) -> None:
        self.assertEqual(self.run_with(), (2, "error: usage: check_page.mjs OUT NAME=URL…\n"))
        self.assertEqual(self.run_with("out", "x"), (2, "error: `x` is not NAME=URL or NAME=STATUS:URL\n"))


if __name__ == "__main__":
    unittest.main()
