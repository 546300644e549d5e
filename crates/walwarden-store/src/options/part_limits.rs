//! The limits of uploads in parts, as options give them.

use serde_json::{Map, Value};
use walwarden_core::Result;

use super::values::{impossible, number, size};
use crate::part_plan::PartLimits;

/// No service takes smaller or larger parts; no storage needs them.
const SMALLEST: u64 = 1 << 20;

/// `min_part_size`, `max_part_size`, `max_parts` over the limits of the service, and `part_size` between them.
pub(super) fn parse(object: &Map<String, Value>, service: PartLimits) -> Result<(PartLimits, Option<u64>)> {
    let min_size = size(object, "min_part_size", SMALLEST, service.max_size)?.unwrap_or(service.min_size);
    let max_size = size(object, "max_part_size", SMALLEST, service.max_size)?.unwrap_or(service.max_size);
    if min_size > max_size {
        return Err(impossible("min_part_size", "It is larger than \"max_part_size\"."));
    }
    let most = u64::try_from(service.max_parts).unwrap_or(u64::MAX);
    let max_parts = number(object, "max_parts", 100, most)?;
    let max_parts = max_parts.and_then(|parts| usize::try_from(parts).ok()).unwrap_or(service.max_parts);
    let part_size = size(object, "part_size", min_size, max_size)?;
    Ok((PartLimits { min_size, max_size, max_parts, ..service }, part_size))
}
