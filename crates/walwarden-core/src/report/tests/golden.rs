//! The bytes of two pages. A change of the page changes them: look at it in a browser, then
//! `cargo test -p walwarden-core write_golden -- --ignored` writes them anew.

use super::sample;
use crate::report::render;

#[test]
fn an_empty_database() {
    compare(&render(&sample::empty()), include_str!("../golden/empty.html"));
}

#[test]
fn a_rich_one() {
    compare(&render(&sample::rich()), include_str!("../golden/rich.html"));
}

/// The pages are long: where they part is enough.
fn compare(page: &str, golden: &str) {
    let same = page.bytes().zip(golden.bytes()).take_while(|(a, b)| a == b).count();
    let around = |text: &str| text[same.saturating_sub(60)..text.len().min(same + 60)].to_owned();
    assert!(page == golden, "the page has\n{}\nwhere the golden one has\n{}", around(page), around(golden));
}

#[test]
#[ignore = "writes the files that the others compare with"]
fn write_golden() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/report/golden");
    for (name, report) in [("empty", sample::empty()), ("rich", sample::rich())] {
        std::fs::write(folder.join(format!("{name}.html")), render(&report)).unwrap();
    }
}
