//! What is told of several numbers.

use serde::Serialize;

/// The middle one and the extremes.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Spread {
    pub median: f64,
    pub min: f64,
    pub max: f64,
}

impl Spread {
    /// Of at least one number.
    pub fn of(numbers: &[f64]) -> Self {
        let mut sorted = numbers.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (below, above) = ((sorted.len() - 1) / 2, sorted.len() / 2);
        Self {
            median: f64::midpoint(sorted[below], sorted[above]),
            min: sorted[0],
            max: sorted[sorted.len() - 1],
        }
    }

    /// A number of one contender's runs.
    pub fn of_runs<R>(rounds: &[Vec<R>], index: usize, number: impl Fn(&R) -> f64) -> Self {
        Self::of(&rounds.iter().map(|round| number(&round[index])).collect::<Vec<_>>())
    }

    /// A number of one contender's runs divided by that of another's in the same round.
    pub fn of_ratios<R>(
        rounds: &[Vec<R>],
        dividend: usize,
        divisor: usize,
        number: impl Fn(&R) -> f64,
    ) -> Self {
        let ratio = |round: &Vec<R>| number(&round[dividend]) / number(&round[divisor]);
        Self::of(&rounds.iter().map(ratio).collect::<Vec<_>>())
    }
}
