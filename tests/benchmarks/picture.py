"""Take the picture of the report that README shows, from the page of the run that is here.

    python tests/benchmarks/picture.py     # data/report/index.html -> docs/report.png

Needs Chromium. Colours are reduced to 64, so that the file stays small.
"""

import argparse
import shutil
import sys
from pathlib import Path

from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1]))
from chromium import picture_of

SIZE = (1000, 805)  # pixels: down to the labels below the charts


def main() -> None:
    """Write the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--page", type=Path, default=Path("data/report/index.html"))
    parser.add_argument("--output", type=Path, default=Path("docs/report.png"))
    args = parser.parse_args()
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "chrome"))), "")
    if not browser or not args.page.exists():
        sys.exit("needs Chromium" if not browser else f"{args.page}: is not here: `dvc repro`")
    file = args.output.absolute()
    picture_of(browser, args.page.parent, args.page.name, file, SIZE)
    image = Image.open(file).convert("RGB")
    image.quantize(64, dither=Image.Dither.NONE).save(file, optimize=True)
    print(f"{args.output}: {file.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
