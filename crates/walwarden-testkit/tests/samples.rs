//! Stock `pg_dump | pg_restore` carries the sample databases over whole, and the comparison notices when it did not.

use walwarden_testkit::{Archive, Cluster, SampleDatabase, assert_same_database, compare_databases};

fn carry_over(cluster: &Cluster, source: &str, restored: &str) {
    let archive = cluster.pg_dump(source, &["--format=custom", "--compress=1"]);
    cluster.create_database(restored);
    let output = cluster.pg_restore(
        &[format!("--dbname={restored}").as_str(), "--exit-on-error", "--single-transaction"],
        Archive::Stdin(&archive),
    );
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_same_database(cluster, source, restored);
}

#[test]
fn the_shop_survives_stock_pg_dump() {
    let cluster = Cluster::builder().start();
    SampleDatabase::create_with_rows(&cluster, "shop", 20_000);
    assert_eq!(cluster.sql("shop", "SELECT count(*) FROM sales.order_line"), "20000");
    carry_over(&cluster, "shop", "shop_restored");

    let unnoticed = |change: &str| {
        cluster.sql("shop_restored", change);
        let difference = compare_databases(&cluster, "shop", &cluster, "shop_restored");
        assert!(difference.is_err(), "not noticed: {change}");
        difference.unwrap_err()
    };
    let difference = unnoticed("UPDATE staff.employee SET salary = salary + 1 WHERE id = 7");
    assert!(difference.contains("Employee 7"), "{difference}");
    unnoticed("UPDATE staff.employee SET salary = salary - 1 WHERE id = 7; DROP INDEX sales.payment_amount");
}

#[test]
fn the_odd_things_survive_stock_pg_dump() {
    let cluster = Cluster::builder().start();
    SampleDatabase::create_hard(&cluster, "hard");
    carry_over(&cluster, "hard", "hard_restored");
    let rows = "SELECT count(*), min(id) FROM fixture.fixture_rule";
    assert_eq!(cluster.sql("hard_restored", rows), "3|1");
}

#[test]
fn the_order_of_rows_does_not_matter() {
    let cluster = Cluster::builder().start();
    for (database, order) in [("a", "ASC"), ("b", "DESC")] {
        cluster.create_database(database);
        let rows = format!("SELECT n, 'row ' || n AS t FROM generate_series(1, 100) n ORDER BY n {order}");
        cluster.sql(database, &format!("CREATE TABLE t AS {rows}"));
    }
    assert_same_database(&cluster, "a", "b");
}
