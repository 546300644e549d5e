//! The documentation, held to its word: every SQL and shell block of every page is run on a real server, as somebody who
//! reads the page would, and what the page shows is compared with what comes out. The references are what the catalogs
//! say. Links lead somewhere.
//!
//! What a page can say to this test, in comments that a reader does not see:
//!
//! | comment | meaning |
//! |---|---|
//! | `<!-- not run: reason -->` | the next block is not run |
//! | `<!-- setup ... -->` | SQL that is run here, of which nothing is shown; it must succeed |
//! | `<!-- setup sh ... -->` | the same for the shell |
//! | `<!-- await ... -->` | a query that is repeated until it says true |
//! | `<!-- generated: ... -->` | nothing: for whoever edits the page |
//!
//! A `sql` or `sh` block is run; a `text` or `console` block right behind it is its output, and is compared. Without one it must
//! raise no error. `ACCEPT=1` writes what came out into the pages, `PAGE=restore.md` runs one page only.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test's support code fails by panicking"
)]

mod accepted;
mod cron;
mod links;
mod names;
mod page;
mod reference;
mod session;
mod sight;

use page::{Page, Step};
use session::Place;
use std::fmt::Write as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Pages that run side by side: most of their time is spent waiting for a server to start or a job to end.
const AT_ONCE: usize = 3;

#[test]
fn every_block_of_every_page_does_what_the_page_says() {
    let only = std::env::var("PAGE").ok();
    let is_wanted = |page: &Page| only.as_deref().is_none_or(|name| page.path.ends_with(name));
    let pages: Vec<Page> = Page::all().into_iter().filter(is_wanted).collect();
    assert!(!pages.is_empty(), "no page of that name");
    let buckets = session::Buckets::default();
    let (next, troubles) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE.min(pages.len()) {
            scope.spawn(|| {
                while let Some(page) = pages.get(next.fetch_add(1, Ordering::SeqCst)) {
                    let found = check(page, &buckets);
                    troubles.lock().unwrap().extend(found);
                }
            });
        }
    });
    for page in &pages {
        let (mut run, mut compared) = (0, 0);
        for step in &page.steps {
            match step {
                Step::Run { output, .. } => {
                    run += 1;
                    compared += usize::from(output.is_some());
                }
                Step::NotRun { line, reason } => {
                    println!("{}:{line}: not run: {reason}", page.path.display())
                }
                Step::Setup { .. } | Step::Await { .. } => {}
            }
        }
        if run > 0 {
            println!("{}: {run} blocks run, {compared} of them compared", page.path.display());
        }
    }
    let all =
        |is_one: fn(&Step) -> bool| pages.iter().flat_map(|page| &page.steps).filter(|s| is_one(s)).count();
    println!(
        "{} blocks run, {} not run",
        all(|step| matches!(step, Step::Run { .. })),
        all(|step| matches!(step, Step::NotRun { .. }))
    );
    let mut troubles = troubles.into_inner().unwrap();
    troubles.sort();
    assert!(troubles.is_empty(), "pages that do not say what is so:\n\n{}", troubles.join("\n"));
}

/// Runs a page from its begin to its end and gives what is not as it says. After a block that failed the rest of the page means
/// nothing.
fn check(page: &Page, buckets: &session::Buckets) -> Vec<String> {
    if !page.steps.iter().any(|step| matches!(step, Step::Run { .. })) {
        return Vec::new();
    }
    let mut place = Place::of(page, buckets);
    let mut accepted = accepted::Outputs::of(page);
    let mut troubles = Vec::new();
    for step in &page.steps {
        let (line, came) = match step {
            Step::NotRun { .. } => continue,
            Step::Setup { line, language, text } => {
                (line, place.run(*language, text).and_then(session::Came::without_error))
            }
            Step::Await { line, query } => (line, place.await_true(query).map(|()| String::new())),
            Step::Run { line, language, text, output: None } => {
                (line, place.run(*language, text).and_then(session::Came::without_error))
            }
            Step::Run { line, language, text, output: Some(output) } => match place.run(*language, text) {
                Err(trouble) => (line, Err(trouble)),
                Ok(came) => {
                    let came = place.names.as_the_page_says(&output.text, &came.text);
                    if let Err(difference) = sight::compare(&output.text, &came) {
                        // An error is written by whoever means it.
                        let is_meant = session::has_error(&output.text) || !session::has_error(&came);
                        if accepted::is_wanted() && is_meant {
                            accepted.replace(output, &came);
                        } else {
                            troubles.push(trouble_at(page, output.line, &difference));
                        }
                    }
                    continue;
                }
            },
        };
        if let Err(trouble) = came {
            troubles.push(trouble_at(page, *line, &trouble));
            break;
        }
    }
    accepted.write();
    troubles
}

fn trouble_at(page: &Page, line: usize, what: &str) -> String {
    let mut text = String::new();
    writeln!(text, "{}:{line}:", page.path.display()).unwrap();
    for line in what.trim_end().lines() {
        writeln!(text, "    {line}").unwrap();
    }
    text
}

#[test]
fn every_link_leads_somewhere_and_every_page_is_reached() {
    let troubles = links::check(&Page::all());
    assert!(troubles.is_empty(), "{}", troubles.join("\n"));
}

#[test]
fn the_references_are_what_the_server_says() {
    reference::check();
}
