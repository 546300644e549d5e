//! Links between pages: the page is there, so is the heading, and every page is reached.

use crate::page::{Page, parser, root};
use pulldown_cmark::{Event, Tag, TagEnd};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

/// Where a reader begins.
const ENTRANCES: [&str; 2] = ["README.md", "docs/README.md"];

/// Gives what is wrong.
pub fn check(pages: &[Page]) -> Vec<String> {
    let anchors: BTreeMap<&Path, BTreeSet<String>> =
        pages.iter().map(|page| (page.path.as_path(), anchors(&page.text))).collect();
    let mut troubles = Vec::new();
    let mut ways: BTreeMap<&Path, Vec<PathBuf>> = BTreeMap::new();
    for page in pages {
        for (line, link) in links(&page.text) {
            if link.contains("://") || link.starts_with("mailto:") {
                continue;
            }
            let (target, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let target = if target.is_empty() { page.path.clone() } else { beside(&page.path, target) };
            let mut trouble =
                |what: &str| troubles.push(format!("{}:{line}: {link}: {what}", page.path.display()));
            if !root().join(&target).exists() {
                trouble("there is no such file");
            } else if !anchor.is_empty()
                && !anchors.get(target.as_path()).is_some_and(|all| all.contains(anchor))
            {
                trouble("there is no such heading");
            }
            ways.entry(&page.path).or_default().push(target);
        }
    }
    let mut reached: BTreeSet<PathBuf> = ENTRANCES.map(PathBuf::from).into();
    let mut open: Vec<PathBuf> = reached.iter().cloned().collect();
    while let Some(at) = open.pop() {
        for target in ways.get(at.as_path()).into_iter().flatten() {
            // A link to a folder shows what is in it.
            let is_there = |page: &&Page| page.path == *target || page.path.parent() == Some(target);
            for page in pages.iter().filter(is_there) {
                if reached.insert(page.path.clone()) {
                    open.push(page.path.clone());
                }
            }
        }
    }
    let lost = pages.iter().filter(|page| !reached.contains(&page.path));
    troubles.extend(lost.map(|page| format!("{}: no page leads to it", page.path.display())));
    troubles
}

/// A target as its path below the root.
fn beside(page: &Path, target: &str) -> PathBuf {
    let mut path = page.parent().unwrap_or(Path::new("")).to_owned();
    for part in Path::new(target).components() {
        match part {
            Component::ParentDir => {
                path.pop();
            }
            Component::CurDir => {}
            part => path.push(part),
        }
    }
    path
}

fn links(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (event, range) in parser(text).into_offset_iter() {
        if let Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) = event {
            found.push((text[..range.start].matches('\n').count() + 1, dest_url.into_string()));
        }
    }
    found
}

/// The names of the headings, as GitHub makes them: small letters, digits, `-` and `_`, and `-` for a space; a second one of
/// the same name has `-1` behind it.
fn anchors(text: &str) -> BTreeSet<String> {
    let (mut found, mut heading) = (BTreeSet::new(), None::<String>);
    for event in parser(text) {
        match event {
            Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
            Event::End(TagEnd::Heading(_)) => {
                let words = heading.take().unwrap_or_default().to_lowercase().replace(' ', "-");
                let name: String =
                    words.chars().filter(|c| c.is_alphanumeric() || "-_".contains(*c)).collect();
                let numbered = (1..).map(|n| format!("{name}-{n}"));
                let free = std::iter::once(name.clone()).chain(numbered).find(|name| !found.contains(name));
                found.extend(free);
            }
            Event::Text(words) | Event::Code(words) => {
                if let Some(heading) = &mut heading {
                    heading.push_str(&words);
                }
            }
            _ => {}
        }
    }
    found
}

#[test]
fn anchors_are_githubs() {
    let anchors = anchors("# What it proves, and what not\n## `a_b()` in C++\n## Twice\n## Twice\n");
    let expected = ["what-it-proves-and-what-not", "a_b-in-c", "twice", "twice-1"];
    assert_eq!(anchors, expected.map(str::to_owned).into());
}

#[test]
fn a_target_is_found_from_the_page_that_names_it() {
    assert_eq!(beside(Path::new("docs/a.md"), "../README.md"), Path::new("README.md"));
    assert_eq!(beside(Path::new("docs/a.md"), "reference/b.md"), Path::new("docs/reference/b.md"));
}
