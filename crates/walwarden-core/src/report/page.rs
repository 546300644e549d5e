//! The document: what a browser may do with it, its style, and the sections in their order.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest, Sha256};

use super::model::Report;
use super::quantity::{exact_time_text, time};
use super::seal::seal;
use super::section;

const STYLE: &str = include_str!("style.css");

/// The page, in ASCII.
pub fn render(report: &Report) -> String {
    seal(&document(report).into_string())
}

fn document(report: &Report) -> Markup {
    let head = &report.head;
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(policy());
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="referrer" content="no-referrer";
                meta name="robots" content="noindex";
                title { "Backups of " (head.database) ", " (head.made_at.format("%Y-%m-%d")) }
                // Or a browser asks the server that it has the page from for one.
                link rel="icon" href="data:,";
                style { (PreEscaped(STYLE)) }
            }
            body {
                header.page { (section::head::draw(report)) }
                main {
                    (section::summary::draw(report))
                    (section::recovery::draw(report))
                    (section::backups::draw(report))
                    (section::gaps::draw(report))
                    (section::failures::draw(report))
                    (section::checks::draw(report))
                    (section::retention::draw(report))
                    (section::storages::draw(report))
                    (section::chain::draw(report))
                    (section::keys::draw(report))
                }
                footer.page { (footer(report)) }
            }
        }
    }
}

/// No script, no address, no other style than ours.
fn policy() -> String {
    let hash = STANDARD.encode(Sha256::digest(STYLE.as_bytes()));
    format!(
        "default-src 'none'; style-src 'sha256-{hash}'; img-src data:; base-uri 'none'; form-action 'none'"
    )
}

fn footer(report: &Report) -> Markup {
    let head = &report.head;
    html! {
        p {
            "Made by walwarden " (head.walwarden_version) " for " (head.made_by) " at " (exact_time_text(&head.made_at)) "."
        }
        p {
            "Times are those of the time zone " (head.time_zone) "; hold the pointer over one to see it exactly and in UTC. "
            "A day, week or month begins when it does there. 1 kB is 1024 bytes. What belongs to the range is told by when it ended: "
            "from " (time(&report.from)) " on, before " (time(&report.to)) ". In UTC that is from "
            (utc(&report.from)) " to " (utc(&report.to)) "."
        }
        p { "This page holds all it needs. It fetches nothing, runs no script, and changes nothing." }
    }
}

fn utc(time: &super::model::Time) -> String {
    time.with_timezone(&chrono::Utc).format("%Y-%m-%d %H:%M:%S UTC").to_string()
}
