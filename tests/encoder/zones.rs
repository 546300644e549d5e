//! Values about every change of every time zone.

use crate::check::{check, difference, run};
use crate::support::site::APP;
use crate::{cluster_with_generators, set_seed, wanted_values};
use walwarden_testkit::postgres::Client;

const ZONES: &str = include_str!("zones.sql");
/// From so many on, a run is one that may take its time.
const THOROUGH: u64 = 1_000_000;

/// Zones with something of their own, tried in every run: seconds in the distance from UTC, a day left out, half an hour of
/// summer time, two hours of it, rules without an end, and none.
const ODD_ZONES: &[&str] = &[
    "Africa/Monrovia",
    "America/St_Johns",
    "Asia/Kathmandu",
    "Europe/Amsterdam",
    "Europe/Dublin",
    "Pacific/Apia",
    "Pacific/Kiritimati",
    "Antarctica/Troll",
    "Australia/Lord_Howe",
    "Africa/Casablanca",
    "America/Nuuk",
    "Asia/Manila",
    "UTC",
    "EST5EDT,M3.2.0,M11.1.0",
    "<+0330>-3:30",
    "<-0001>0:01",
    "XST-24YST,J60/0,J300/24",
    "AEST-10AEDT,M10.1.0,M4.1.0/3",
];

/// Settings that are no zone's name.
const FIXED_DISTANCES: &[&str] = &[
    "INTERVAL '+05:45' HOUR TO MINUTE",
    "INTERVAL '-08:00' HOUR TO MINUTE",
    "INTERVAL '-00:01' HOUR TO MINUTE",
    "INTERVAL '15:59' HOUR TO MINUTE",
    "5.75",
    "-13",
];

/// The odd zones and those of the server: all of them, or, for a quick run, some.
fn zones(client: &mut Client) -> Vec<String> {
    let every: i64 = if wanted_values() >= THOROUGH { 1 } else { 20 };
    let query = "SELECT name FROM (SELECT name, row_number() OVER (ORDER BY random()) AS place FROM pg_timezone_names) AS names \
                 WHERE place % $1 = 0 ORDER BY name";
    let some = client.query(query, &[&every]).expect("pg_timezone_names");
    let some = some.iter().map(|row| row.get::<_, String>(0));
    ODD_ZONES.iter().map(|&zone| zone.to_owned()).chain(some).collect()
}

/// Values about every change of a zone, written in this zone: as values and as elements of arrays.
#[test]
fn every_time_zone_is_written_as_copy_writes_it() {
    let cluster = cluster_with_generators();
    cluster.sql(APP, ZONES);
    let mut client = cluster.client(APP);
    run(&mut client, &set_seed());
    let named = zones(&mut client).into_iter().map(|zone| (format!("'{zone}'"), zone));
    let fixed = FIXED_DISTANCES.iter().map(|&distance| (distance.to_owned(), "UTC".to_owned()));
    let (mut differences, mut values, mut count) = (Vec::new(), 0, 0);
    for (setting, zone) in named.chain(fixed) {
        let fill = format!(
            "SET TIME ZONE {setting};
             DROP TABLE IF EXISTS instants;
             CREATE UNLOGGED TABLE instants AS SELECT instant, ARRAY[instant, NULL, instant + interval '1 hour'] AS around
                 FROM gen.instants('{zone}') AS instant WHERE instant < '294276-12-30' OR instant = 'infinity'"
        );
        run(&mut client, &fill);
        let found = check(&mut client, "instants");
        found.assert_direct(&setting);
        values += found.rows * 3;
        count += 1;
        differences
            .extend(difference(&mut client, "instants", &found).map(|how| format!("{setting}: {how}")));
    }
    println!("{count} time zones: {values} values, {} differences", differences.len());
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}
