//! One field of a cron expression: text to a set of small numbers.

/// The numbers a field allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NumberSet {
    bits: u64,
    /// Whether the text begins with `*`: Vixie cron's test of an unrestricted field.
    pub(super) starred: bool,
}

impl NumberSet {
    pub(super) fn contains(self, number: u32) -> bool {
        number < u64::BITS && self.bits & (1 << number) != 0
    }

    /// The smallest member that is at least `number`.
    pub(super) fn at_least(self, number: u32) -> Option<u32> {
        let rest = if number < u64::BITS { self.bits >> number } else { 0 };
        (rest != 0).then(|| number + rest.trailing_zeros())
    }

    /// The members in ascending order.
    pub(super) fn iter(self) -> impl Iterator<Item = u32> {
        std::iter::successors(self.at_least(0), move |last| self.at_least(last + 1))
    }
}

/// What a field may hold.
pub(super) struct Field {
    pub(super) name: &'static str,
    min: u8,
    max: u8,
    /// What `*` reaches to: weekdays are 0 to 7 with Sunday at both ends, and `*` means each day once.
    star_max: u8,
    /// Three-letter names of `min`, `min + 1`, ...
    names: &'static [&'static str],
}

pub(super) const MINUTE: Field = Field { name: "minute", min: 0, max: 59, star_max: 59, names: &[] };
pub(super) const HOUR: Field = Field { name: "hour", min: 0, max: 23, star_max: 23, names: &[] };
pub(super) const DAY_OF_MONTH: Field =
    Field { name: "day of month", min: 1, max: 31, star_max: 31, names: &[] };
pub(super) const MONTH: Field = Field {
    name: "month",
    min: 1,
    max: 12,
    star_max: 12,
    names: &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"],
};
pub(super) const DAY_OF_WEEK: Field = Field {
    name: "day of week",
    min: 0,
    max: 7,
    star_max: 6,
    names: &["sun", "mon", "tue", "wed", "thu", "fri", "sat"],
};

impl Field {
    /// The set the text stands for, or why it stands for none (a clause without a final stop).
    pub(super) fn parse(&self, text: &str) -> Result<NumberSet, String> {
        let mut bits = 0;
        for item in text.split(',') {
            bits |= self.parse_item(item)?;
        }
        if self.max > self.star_max {
            // Sunday by its second number.
            let sunday = 1 << self.max;
            if bits & sunday != 0 {
                bits = bits & !sunday | 1;
            }
        }
        Ok(NumberSet { bits, starred: text.starts_with('*') })
    }

    /// `*`, a number or a range, each but the number with an optional step.
    fn parse_item(&self, item: &str) -> Result<u64, String> {
        let (range, step) = match item.split_once('/') {
            Some((range, step)) => (range, Some(step)),
            None => (item, None),
        };
        let (first, last) = if range == "*" {
            (self.min, self.star_max)
        } else if let Some((first, last)) = range.split_once('-') {
            self.parse_range(first, last)?
        } else {
            let number = self.parse_number(range)?;
            if let Some(step) = step {
                // Some crons read 5/15 as 5-59/15, others as 5.
                return Err(format!(
                    "a step needs a range before it, such as {number}-{}/{step} or */{step}",
                    self.star_max
                ));
            }
            (number, number)
        };
        let step = match step {
            Some(text) => parse_step(text, first, last)?,
            None => 1,
        };
        Ok((first..=last).step_by(usize::from(step)).fold(0, |bits, number| bits | 1 << number))
    }

    fn parse_range(&self, first: &str, last: &str) -> Result<(u8, u8), String> {
        let from = self.parse_number(first)?;
        let mut to = self.parse_number(last)?;
        // Sunday by name ends a week: sat-sun is 6-7.
        if to == 0 && from > 0 && last.eq_ignore_ascii_case("sun") {
            to = self.max;
        }
        if from > to {
            return Err(format!("the range {first}-{last} runs backwards; write it as two ranges"));
        }
        Ok((from, to))
    }

    fn parse_number(&self, text: &str) -> Result<u8, String> {
        if text.is_empty() {
            return Err("a number is missing".to_owned());
        }
        if text.bytes().all(|byte| byte.is_ascii_digit()) {
            // What does not fit a byte is out of range in every field.
            return match text.parse::<u8>() {
                Ok(number) if (self.min..=self.max).contains(&number) => Ok(number),
                _ => Err(format!("{text} is not in {}-{}", self.min, self.max)),
            };
        }
        let named = (self.min..).zip(self.names).find(|(_, name)| name.eq_ignore_ascii_case(text));
        named.map(|(number, _)| number).ok_or_else(|| self.why_no_number(text))
    }

    fn why_no_number(&self, text: &str) -> String {
        let is_extension = text.contains(['#', '?', '+', '~', '%', '@'])
            || text.trim_start_matches(|c: char| c.is_ascii_digit()).chars().all(|c| "LWHlwh".contains(c));
        if is_extension {
            return format!(
                "\"{text}\" uses an extension (L, W, #, ?, +, H and the like) that standard cron lacks"
            );
        }
        match self.names {
            [] => format!("\"{text}\" is not a number"),
            [first, .., last] => {
                format!("\"{text}\" is neither a number nor one of the names {first} to {last}")
            }
            [only] => format!("\"{text}\" is neither a number nor {only}"),
        }
    }
}

/// A step that reaches at least a second number of its range; `*/90` minutes would silently mean once an
/// hour.
fn parse_step(text: &str, first: u8, last: u8) -> Result<u8, String> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(format!("the step \"{text}\" is not a number"));
    }
    match text.parse::<u8>() {
        Ok(0) => Err("the step is zero".to_owned()),
        Ok(step) if step <= (last - first).max(1) => Ok(step),
        _ => Err(format!("the step {text} is larger than the range {first}-{last} it steps through")),
    }
}
