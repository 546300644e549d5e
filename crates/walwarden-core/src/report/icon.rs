//! The signs of a verdict. What they say stands beside them in words.

use maud::{Markup, html};

use super::judge::Level;

/// A tick, an exclamation mark or a cross in a circle.
pub fn icon(level: Level) -> Markup {
    let path = match level {
        Level::Good => "M7 12.5l3.4 3.4L17 9",
        Level::Attention => "M12 6.5v7M12 16.6v.9",
        Level::Bad => "M8 8l8 8M16 8l-8 8",
    };
    html! {
        svg.icon viewBox="0 0 24 24" aria-hidden="true" focusable="false" {
            circle cx="12" cy="12" r="11" {}
            path d=(path) {}
        }
    }
}
