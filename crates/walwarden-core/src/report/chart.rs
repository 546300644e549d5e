//! A chart as SVG: a mark for each value over time, a cross on the base line where something failed.

use maud::{Markup, html};

use super::model::Time;
use super::quantity::time_text;
use super::scale::{Measure, moments};

/// The drawing's own units; it is scaled to the room there is.
const WIDTH: f64 = 480.0;
const HEIGHT: f64 = 220.0;
/// Where the base line is, and how far the highest value is above it.
const BASE: f64 = 184.0;
const TOP: f64 = 26.0;
/// Beside the values' names, and as far from the right edge as a mark is wide.
const LEFT: f64 = 58.0;
const RIGHT: f64 = 470.0;

/// What is drawn.
pub struct Chart<'a> {
    /// Its names in the document begin with this.
    pub id: &'a str,
    /// What it shows.
    pub title: &'a str,
    /// The same in a sentence, for those who do not see it.
    pub description: &'a str,
    /// What the values are.
    pub measure: Measure,
    /// The time at the left edge.
    pub from: Time,
    /// The time at the right edge.
    pub to: Time,
    /// The values.
    pub marks: Vec<Mark>,
    /// What failed.
    pub failures: Vec<Cross>,
}

/// A value, or several of one period.
pub struct Mark {
    /// When.
    pub at: Time,
    /// The smallest.
    pub low: f64,
    /// What stands for all of them.
    pub value: f64,
    /// The largest.
    pub high: f64,
    /// It is hollow: not all of it is good.
    pub partial: bool,
    /// What it is, in words.
    pub text: String,
}

/// Something that failed.
pub struct Cross {
    /// When.
    pub at: Time,
    /// What it is, in words.
    pub text: String,
}

impl Chart<'_> {
    /// The drawing.
    pub fn draw(&self) -> Markup {
        let (title, description) = (format!("{}-title", self.id), format!("{}-text", self.id));
        let highest = self.marks.iter().map(|mark| mark.high).fold(0.0, f64::max);
        let ticks = self.measure.ticks(highest);
        let top = ticks.last().copied().unwrap_or(1.0);
        html! {
            svg.chart viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } role="img" aria-labelledby={ (title) " " (description) } {
                title id=(title) { (self.title) }
                desc id=(description) { (self.description) }
                @for tick in &ticks {
                    @let y = self.height(*tick, top);
                    line.grid.base[*tick == 0.0] x1="0" x2=(WIDTH) y1=(y) y2=(y) {}
                    text.value x="0" y=(coordinate(BASE - (BASE - TOP) * tick / top - 4.0)) { (self.measure.tick_text(*tick)) }
                }
                @for (place, (moment, name)) in moments(&self.from, &self.to, 4).iter().enumerate() {
                    @let x = self.place(moment);
                    line.grid x1=(x) x2=(x) y1=(BASE) y2=(BASE + 5.0) {}
                    text.moment.first[place == 0].last[place == 4].minor[place % 2 == 1] x=(x) y=(BASE + 20.0) { (name) }
                }
                @for mark in &self.marks {
                    @let x = self.place(&mark.at);
                    g.mark.partial[mark.partial] {
                        title { (mark.text) }
                        line.stem x1=(x) x2=(x) y1=(BASE) y2=(self.height(mark.value, top)) {}
                        @if mark.high > mark.low {
                            line.spread x1=(x) x2=(x) y1=(self.height(mark.low, top)) y2=(self.height(mark.high, top)) {}
                        }
                        circle cx=(x) cy=(self.height(mark.value, top)) r="3.2" {}
                    }
                }
                @for cross in &self.failures {
                    @let x = self.horizontal(&cross.at);
                    g.cross {
                        title { (cross.text) }
                        path d={ "M" (coordinate(x - 4.0)) " " (BASE - 4.0) "l8 8M" (coordinate(x + 4.0)) " " (BASE - 4.0) "l-8 8" } {}
                    }
                }
            }
        }
    }

    fn place(&self, at: &Time) -> String {
        coordinate(self.horizontal(at))
    }

    #[expect(clippy::cast_precision_loss, reason = "a tenth of a unit is what is drawn")]
    fn horizontal(&self, at: &Time) -> f64 {
        let span = (self.to - self.from).num_milliseconds().max(1) as f64;
        let passed = (*at - self.from).num_milliseconds() as f64;
        LEFT + (RIGHT - LEFT) * (passed / span).clamp(0.0, 1.0)
    }

    fn height(&self, value: f64, top: f64) -> String {
        coordinate(BASE - (BASE - TOP) * (value / top).clamp(0.0, 1.0))
    }
}

fn coordinate(value: f64) -> String {
    format!("{value:.1}")
}

/// What a chart says to those who do not see it.
pub fn description(
    what: &str,
    marks: &[Mark],
    failures: usize,
    measure: Measure,
    from: &Time,
    to: &Time,
) -> String {
    let range = format!("from {} to {}", time_text(from), time_text(to));
    let low = marks.iter().map(|mark| mark.low).fold(f64::INFINITY, f64::min);
    let high = marks.iter().map(|mark| mark.high).fold(0.0, f64::max);
    if marks.is_empty() {
        return format!("{what} {range}: none. {failures} failed. The table below has the same.");
    }
    format!(
        "{what} {range}: between {} and {}. Crosses on the base line: {failures}. The table below has the same.",
        measure.text(low),
        measure.text(high)
    )
}
