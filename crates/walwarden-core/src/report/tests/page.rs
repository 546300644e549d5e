//! What holds for every page.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};
use std::collections::HashSet;

use super::document::{Element, parse};
use super::sample;
use crate::report::{Outcome, Series, Unit, render};

fn pages() -> [Element; 3] {
    [sample::empty(), sample::rich(), sample::by_period()].map(|report| parse(&render(&report)))
}

#[test]
fn it_needs_and_runs_nothing() {
    for page in pages() {
        for element in page.all() {
            let known = [
                "html",
                "head",
                "meta",
                "title",
                "link",
                "style",
                "body",
                "header",
                "main",
                "footer",
                "section",
                "nav",
                "h1",
                "h2",
                "h3",
                "p",
                "div",
                "span",
                "strong",
                "br",
                "code",
                "a",
                "ul",
                "li",
                "dl",
                "dt",
                "dd",
                "time",
                "table",
                "caption",
                "thead",
                "tbody",
                "tr",
                "th",
                "td",
                "figure",
                "figcaption",
                "svg",
                "desc",
                "g",
                "line",
                "circle",
                "path",
                "text",
            ];
            assert!(known.contains(&element.name.as_str()), "{}", element.name);
            for (name, value) in &element.attributes {
                assert!(!name.starts_with("on") && name != "style" && name != "src", "{name}");
                if name == "href" {
                    assert!(value.starts_with('#') || value == "data:,", "{value}");
                }
            }
        }
    }
}

#[test]
fn its_policy_allows_its_style_and_nothing_else() {
    for page in pages() {
        let style = page.named("style");
        let hash = STANDARD.encode(Sha256::digest(style[0].text.as_bytes()));
        let metas = page.named("meta");
        let policy =
            metas.iter().find(|meta| meta.attribute("http-equiv") == Some("Content-Security-Policy"));
        assert_eq!(
            policy.and_then(|meta| meta.attribute("content")).unwrap(),
            format!(
                "default-src 'none'; style-src 'sha256-{hash}'; img-src data:; base-uri 'none'; form-action 'none'"
            )
        );
        assert!(!style[0].text.contains("url(") && !style[0].text.contains("@import"));
        assert_eq!(style.len(), 1);
    }
}

#[test]
fn it_can_be_read_without_seeing_it() {
    for page in pages() {
        assert_eq!(page.attribute("lang"), Some("en"));
        assert_eq!(page.named("h1").len(), 1);
        let ids: Vec<&str> = page.all().iter().filter_map(|element| element.attribute("id")).collect();
        let distinct: HashSet<&str> = ids.iter().copied().collect();
        assert_eq!(ids.len(), distinct.len(), "{ids:?}");
        for element in page.all() {
            let labels = element.attribute("aria-labelledby").unwrap_or_default();
            assert!(labels.split_whitespace().all(|id| distinct.contains(id)), "{labels}");
            if let Some(target) = element.attribute("href").and_then(|href| href.strip_prefix('#')) {
                assert!(distinct.contains(target), "{target}");
            }
        }
        for table in page.named("table") {
            assert_eq!(table.children[0].name, "caption");
            assert!(!table.children[0].text.is_empty());
            assert!(table.named("th").iter().all(|cell| cell.attribute("scope").is_some()));
            let columns = table.named("thead")[0].named("th").len();
            for row in table.named("tbody")[0].named("tr") {
                assert_eq!(row.children.len(), columns);
            }
        }
        for drawing in page.named("svg") {
            if drawing.attribute("aria-hidden").is_none() {
                assert_eq!(drawing.attribute("role"), Some("img"));
                assert!(!drawing.children[0].text.is_empty() && !drawing.children[1].text.is_empty());
            }
        }
    }
}

/// Every mark of a chart stands in the table below it.
#[test]
fn charts_show_what_the_table_shows() {
    let report = sample::rich();
    let page = parse(&render(&report));
    let Series::Each(all) = &report.backups.series else { panic!("each") };
    let having = |outcome| all.iter().filter(|backup| backup.outcome == outcome).count();
    for chart in ["size-chart-title", "duration-chart-title"] {
        let drawing =
            page.named("svg").into_iter().find(|svg| svg.children[0].attribute("id") == Some(chart)).unwrap();
        let of_class = |class: &str| {
            drawing
                .named("g")
                .iter()
                .filter(|g| g.attribute("class").unwrap().split(' ').any(|c| c == class))
                .count()
        };
        assert_eq!(of_class("cross"), having(Outcome::Failed));
        assert_eq!(of_class("partial"), having(Outcome::Partial));
        if chart.starts_with("size") {
            assert_eq!(of_class("mark"), having(Outcome::Completed) + having(Outcome::Partial));
        }
    }
    let table = page
        .named("table")
        .into_iter()
        .find(|table| table.children[0].attribute("id") == Some("backups-table"))
        .unwrap();
    assert_eq!(table.named("tbody")[0].named("tr").len(), all.len());
}

#[test]
fn what_was_cut_is_said() {
    let page = parse(&render(&sample::rich())).whole_text();
    assert!(page.contains("The newest 2 of 4,321 are shown"), "{page}");
    let report = sample::by_period();
    let Series::Periods(Unit::Day, _) = report.backups.series else { panic!("days") };
    let page = parse(&render(&report));
    assert!(page.whole_text().contains("The newest 3 of 400 are shown"));
    assert!(page.whole_text().contains("thick line goes from the smallest to the largest"));
}
