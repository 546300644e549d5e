//! What a page calls things by, and what they are called in the run of it: a uuid that a page shows stands for the one that came
//! out there, in everything that follows; so do the data directory, the bucket and the folders of a real server.

use regex::Regex;
use std::sync::LazyLock;

static UUID: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b").expect("a regular expression")
});

/// Pairs of names.
#[derive(Debug, Default)]
pub struct Names {
    /// As the page says, as it is here.
    fixed: Vec<(String, String)>,
    /// The same, of which nothing that comes out is one: keys.
    said_only: Vec<(String, String)>,
    uuids: Vec<(String, String)>,
}

impl Names {
    /// `here` is what `page` stands for.
    pub fn add(&mut self, page: &str, here: &str) {
        self.fixed.push((page.to_owned(), here.to_owned()));
    }

    /// The same for what is said here and never shown.
    pub fn add_said_only(&mut self, page: &str, here: &str) {
        self.said_only.push((page.to_owned(), here.to_owned()));
    }

    /// What is to be run here for what the page says.
    pub fn as_it_is_here(&self, text: &str) -> String {
        let pairs = self.fixed.iter().chain(&self.said_only).chain(&self.uuids);
        pairs.fold(text.to_owned(), |text, (page, here)| text.replace(page, here))
    }

    /// What came out here, in the page's names. New uuids are those that the page shows in the same places.
    pub fn as_the_page_says(&mut self, shown: &str, came: &str) -> String {
        let all = |text: &str| UUID.find_iter(text).map(|uuid| uuid.as_str().to_owned()).collect::<Vec<_>>();
        let (of_page, of_here) = (all(shown), all(came));
        if of_page.len() == of_here.len() {
            for (page, here) in of_page.into_iter().zip(of_here) {
                if self.uuids.iter().all(|pair| pair.0 != page && pair.1 != here) {
                    self.uuids.push((page, here));
                }
            }
        }
        let pairs = self.fixed.iter().chain(&self.uuids);
        pairs.fold(came.to_owned(), |text, (page, here)| text.replace(here, page))
    }
}

#[test]
fn a_uuid_stands_for_the_same_one_throughout() {
    let uuid = |digit: &str| "00000000-0000-0000-0000-000000000000".replace('0', digit);
    let mut names = Names::default();
    names.add("/mnt", "/tmp/x");
    let came = format!("{} {} /tmp/x/y", uuid("a"), uuid("b"));
    assert_eq!(
        names.as_the_page_says(&format!("{} {}", uuid("1"), uuid("2")), &came),
        format!("{} {} /mnt/y", uuid("1"), uuid("2"))
    );
    assert_eq!(names.as_it_is_here(&format!("'{}'", uuid("2"))), format!("'{}'", uuid("b")));
    // The page takes one for the other.
    assert_eq!(names.as_the_page_says(&uuid("1"), &uuid("b")), uuid("2"));
}
