//! The data sets. Every value is computed from its row's number, so that each run, on whatever machine, has the same.

const MIB: u64 = 1 << 20;
/// How many tables the data set `spread` spreads the giant's rows over.
const SPREAD: u64 = 16;

/// One kind of data, which becomes a database of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataSet {
    Wide,
    Numeric,
    Giant,
    Small,
    Toast,
    Spread,
}

impl DataSet {
    const ALL: [Self; 6] = [Self::Wide, Self::Numeric, Self::Giant, Self::Small, Self::Toast, Self::Spread];

    /// The one with this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|set| set.name() == name)
    }

    /// Its name, and its database's.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Wide => "wide",
            Self::Numeric => "numeric",
            Self::Giant => "giant",
            Self::Small => "small",
            Self::Toast => "toast",
            Self::Spread => "spread",
        }
    }

    /// What is in it, for a reader of the report.
    pub const fn description(self) -> &'static str {
        match self {
            Self::Wide => "rows of 1 kB: text and jsonb",
            Self::Numeric => "rows of 80 bytes: integers, numeric, floats, timestamptz, boolean",
            Self::Giant => "one table like pgbench_accounts",
            Self::Small => "many small tables with a primary key each",
            Self::Toast => "64 kB of bytea stored EXTERNAL and as much compressed text in each row",
            Self::Spread => "the rows of giant in 16 tables",
        }
    }

    /// A psql script that makes it, with tables of about this size in MiB.
    pub fn script(self, megabytes: u64) -> String {
        match self {
            Self::Wide => wide(megabytes),
            Self::Numeric => numeric(megabytes),
            Self::Giant => accounts("account", 1, rows(megabytes, 134)),
            Self::Small => small(megabytes),
            Self::Toast => toast(megabytes),
            Self::Spread => {
                let all = rows(megabytes, 134);
                let first = |table: u64| all * table / SPREAD + 1;
                (0..SPREAD)
                    .map(|table| accounts(&format!("account_{table}"), first(table), first(table + 1) - 1))
                    .collect()
            }
        }
    }
}

/// How many rows of this size on disk, in bytes, fill so many MiB.
const fn rows(megabytes: u64, row_size: u64) -> u64 {
    megabytes * MIB / row_size + 1
}

/// An SQL expression: 128 letters that follow from `seed`, some more frequent than others, so that they compress to a
/// little less than half.
fn letters(seed: &str) -> String {
    format!(
        "translate(encode(sha512(convert_to({seed}, 'UTF8')), 'hex'), '0123456789abcdef', 'eeettaaoinsrhl  ')"
    )
}

/// An SQL expression: a whole number from 0 to `mask`, which is one less than a power of two, that follows from the row's
/// number and `seed`.
fn hash(seed: u32, mask: u64) -> String {
    format!("(hashint8extended(n, {seed}) & {mask})")
}

fn wide(megabytes: u64) -> String {
    let half = rows(megabytes, 1150) / 2;
    let body: Vec<String> = (1..=4).map(|part| letters(&format!("'{part}' || n"))).collect();
    let table = |name: &str, first: u64, last: u64| {
        format!(
            "CREATE TABLE {name} AS \
             SELECT n AS id, timestamptz '2020-01-01 00:00:00+00' + n * interval '37 seconds' AS created, \
                    'Article ' || n || ': ' || left({title}, 40) AS title, {body} AS body, \
                    jsonb_build_object('id', n, 'language', (ARRAY['en', 'de', 'fr', 'es'])[1 + n % 4], \
                        'tags', jsonb_build_array('tag-' || n % 97, 'tag-' || n % 89, 'tag-' || n % 83), \
                        'author', jsonb_build_object('name', 'Author ' || n % 1009, \
                                                     'mail', 'author.' || n % 1009 || '@example.com'), \
                        'views', {views}, 'rating', {rating} / 100.0, 'published', n % 7 <> 0, \
                        'comment', {comment}) AS document \
               FROM generate_series({first}::bigint, {last}) AS n;\n\
             ALTER TABLE {name} ADD PRIMARY KEY (id);\n",
            title = letters("'t' || n"),
            body = body.join(" || ' ' || "),
            views = hash(1, 0xf_ffff),
            rating = hash(2, 511),
            comment = letters("'c' || n"),
        )
    };
    table("article", 1, half) + &table("draft", half + 1, 2 * half)
}

fn numeric(megabytes: u64) -> String {
    let half = rows(megabytes, 89) / 2;
    let table = |name: &str, first: u64, last: u64| {
        format!(
            "CREATE TABLE {name} AS \
             SELECT n AS id, {sensor}::integer AS sensor, {kind}::smallint AS kind, \
                    ({price} / 100.0)::numeric(12, 2) AS price, {value}::double precision / 1000 AS value, \
                    ({error}::double precision / 64)::real AS error, \
                    timestamptz '2020-01-01 00:00:00+00' + n * interval '1.234567 seconds' AS at, \
                    {flag} = 0 AS flag \
               FROM generate_series({first}::bigint, {last}) AS n;\n\
             ALTER TABLE {name} ADD PRIMARY KEY (id);\n",
            sensor = hash(1, 0xffff),
            kind = hash(2, 31),
            price = hash(3, 0xff_ffff),
            value = hash(4, 0xfff_ffff),
            error = hash(5, 0xffff),
            flag = hash(6, 3),
        )
    };
    table("measurement", 1, half) + &table("forecast", half + 1, 2 * half)
}

fn accounts(name: &str, first: u64, last: u64) -> String {
    format!(
        "CREATE TABLE {name} (aid integer NOT NULL, bid integer, abalance integer, filler character(84));\n\
         INSERT INTO {name} \
         SELECT n, (n - 1) / 100000 + 1, {balance} - 65536, md5(n::text) \
           FROM generate_series({first}::bigint, {last}) AS n;\n\
         ALTER TABLE {name} ADD PRIMARY KEY (aid);\n",
        balance = hash(1, 0x1_ffff),
    )
}

fn small(megabytes: u64) -> String {
    let tables = (megabytes * 8).clamp(250, 4000);
    let each = rows(megabytes, 130) / tables + 1;
    // Committed now and then: one transaction would have to hold the locks of all.
    format!(
        "DO $$ BEGIN FOR t IN 1..{tables} LOOP \
             EXECUTE format('CREATE TABLE %I (id integer PRIMARY KEY, name text, amount numeric(10, 2), note text)', 'list_' || t); \
             EXECUTE format('INSERT INTO %I SELECT n, ''entry '' || n || '' of '' || %s, {amount} / 100.0, md5(n || ''.'' || %s) || md5(n::text) \
                               FROM generate_series(1::bigint, {each}) AS n', 'list_' || t, t, t); \
             IF t % 50 = 0 THEN COMMIT; END IF; \
         END LOOP; END $$;\n",
        amount = hash(1, 0xf_ffff),
    )
}

fn toast(megabytes: u64) -> String {
    let rows = rows(megabytes, 99_000);
    format!(
        "CREATE TABLE document (id bigint PRIMARY KEY, name text, scan bytea, pages text);\n\
         ALTER TABLE document ALTER scan SET STORAGE EXTERNAL;\n\
         INSERT INTO document \
         SELECT n, 'Document ' || n, \
                (SELECT string_agg(sha512(convert_to(n || '.' || k, 'UTF8')), ''::bytea ORDER BY k) \
                   FROM generate_series(1, 1024) AS k), \
                (SELECT string_agg('Line ' || k || ' of document ' || n || ': ' || left(md5(k || '.' || n), 12) \
                                   || ', due on the first of the month. ', '' ORDER BY k) \
                   FROM generate_series(1, 900) AS k) \
           FROM generate_series(1::bigint, {rows}) AS n;\n"
    )
}
