//! Every setting of walwarden, with its meaning.

use pgrx::guc::{GucContext, GucFlags, GucRegistry, GucSetting, PostgresGucEnum};
use std::ffi::CString;

/// Whether schedules fire; off also keeps the launcher from starting anything.
pub static ENABLED: GucSetting<bool> = GucSetting::<bool>::new(true);
/// First part of every object's path.
pub static ORGANIZATION: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(Some(c"default"));
/// How pg_dump connects, if not over the server's own socket as the operating-system user.
pub static CONNINFO: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(None);
/// An AWS-style shared credentials file.
pub static CREDENTIALS_FILE: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(None);
/// An identity file of age, for encrypted backups.
pub static IDENTITY_FILE: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(None);
/// Who signs, if not the key file.
pub static SIGNER: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(None);
/// Who writes the rows of tables.
pub static ENCODER: GucSetting<EncoderChoice> = GucSetting::<EncoderChoice>::new(EncoderChoice::Auto);
/// Where storages may be.
pub static STORAGE_ALLOW: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(None);
/// Where webhooks may be besides the internet.
pub static WEBHOOK_ALLOW: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(None);
/// Milliseconds a backup waits for a table's lock.
pub static LOCK_TIMEOUT: GucSetting<i32> = GucSetting::<i32>::new(60_000);
/// Megabytes of memory that the leader of a job may take.
pub static MAX_MEMORY: GucSetting<i32> = GucSetting::<i32>::new(256);
/// How many jobs run at once in the cluster.
pub static MAX_CONCURRENT_JOBS: GucSetting<i32> = GucSetting::<i32>::new(4);
/// A secret that the leader gives to the session of the pg_dump that it starts; see `pg::toc_only`.
pub static TOC_ONLY: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(None);
/// Whether statements of this session run what table owners have planted with their rights; see `pg::table_owner`.
pub static AS_TABLE_OWNER: GucSetting<bool> = GucSetting::<bool>::new(false);
/// The process whose lock group the session of that pg_dump joins; 0 joins none.
pub static LOCK_GROUP: GucSetting<i32> = GucSetting::<i32>::new(0);

/// Values of [`ENCODER`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PostgresGucEnum)]
pub enum EncoderChoice {
    /// We ourselves where that is possible, COPY everywhere else.
    #[name = c"auto"]
    Auto,
    /// COPY.
    #[name = c"copy"]
    Copy,
}

/// Define them all.
pub fn init() {
    GucRegistry::define_bool_guc(
        c"walwarden.enabled",
        c"Whether walwarden's schedules fire.",
        c"Jobs started by hand run either way.",
        &ENABLED,
        GucContext::Sighup,
        GucFlags::default(),
    );
    GucRegistry::define_string_guc(
        c"walwarden.organization",
        c"First part of the path of every object walwarden writes.",
        c"1 to 63 letters, digits, dots, dashes and underscores, beginning with a letter or digit.",
        &ORGANIZATION,
        GucContext::Sighup,
        GucFlags::default(),
    );
    GucRegistry::define_string_guc(
        c"walwarden.conninfo",
        c"How pg_dump connects to this server.",
        c"Keywords host, port, user, passfile, service, sslmode, sslrootcert, sslcert, sslkey. Never a password. \
          Empty: the server's own socket, as the operating-system user of the server.",
        &CONNINFO,
        GucContext::Sighup,
        GucFlags::SUPERUSER_ONLY,
    );
    GucRegistry::define_string_guc(
        c"walwarden.credentials_file",
        c"An AWS-style shared credentials file for storages with the option profile.",
        c"It must belong to the server's user or root and be readable by nobody else.",
        &CREDENTIALS_FILE,
        GucContext::Sighup,
        GucFlags::SUPERUSER_ONLY,
    );
    GucRegistry::define_string_guc(
        c"walwarden.identity_file",
        c"An identity file of age that decrypts backups where none is given.",
        c"It must belong to the server's user or root and be readable by nobody else. Whoever may restore can decrypt then.",
        &IDENTITY_FILE,
        GucContext::Sighup,
        GucFlags::SUPERUSER_ONLY,
    );
    GucRegistry::define_enum_guc(
        c"walwarden.encoder",
        c"Who writes the rows of tables in backups.",
        c"auto: walwarden itself, from the pages of ordinary tables, and COPY for all others. copy: COPY. The bytes are the same.",
        &ENCODER,
        GucContext::Suset,
        GucFlags::default(),
    );
    GucRegistry::define_string_guc(
        c"walwarden.signer",
        c"Who signs, if the signing key is not to be on this machine.",
        c"command:/path/to/program arguments, or unix:/path/to/ssh-agent.sock with the id of a key where it has several. \
          Empty: the key file.",
        &SIGNER,
        GucContext::Sighup,
        GucFlags::SUPERUSER_ONLY,
    );
    GucRegistry::define_string_guc(
        c"walwarden.storage_allow",
        c"Hosts and networks that storages may be at although they are plain http, and folders that any role may be let use.",
        c"Host names, *.example.com, host:port, addresses, networks such as 10.1.0.0/16 and absolute folders, separated by \
          commas; with the word only, nothing but these hosts. Empty: any host by https but link-local ones.",
        &STORAGE_ALLOW,
        GucContext::Sighup,
        GucFlags::SUPERUSER_ONLY,
    );
    GucRegistry::define_string_guc(
        c"walwarden.webhook_allow",
        c"Hosts and networks that webhooks may be at although they are private, this machine, or plain http.",
        c"Host names, *.example.com, host:port, addresses and networks such as 10.1.0.0/16, separated by commas; with the \
          word only, nothing but these. Empty: the internet by https, and nothing else.",
        &WEBHOOK_ALLOW,
        GucContext::Sighup,
        GucFlags::SUPERUSER_ONLY,
    );
    GucRegistry::define_int_guc(
        c"walwarden.lock_timeout",
        c"How long a backup waits for a table's lock before it fails.",
        c"The error names who has the lock, or is ahead in the queue.",
        &LOCK_TIMEOUT,
        100,
        i32::MAX,
        GucContext::Sighup,
        GucFlags::UNIT_MS,
    );
    GucRegistry::define_int_guc(
        c"walwarden.max_memory",
        c"How much memory the leader of a job may take.",
        c"A quarter for pieces that came before their turn, the rest for parts on their way to storage. A copier takes less \
          than 64 MB and its widest row besides.",
        &MAX_MEMORY,
        64,
        i32::MAX >> 1,
        GucContext::Sighup,
        GucFlags::UNIT_MB,
    );
    GucRegistry::define_int_guc(
        c"walwarden.max_concurrent_jobs",
        c"How many of walwarden's jobs run at once, in all databases of the cluster together.",
        c"Others stay queued until one ends; then the database whose last job started longest ago comes first. A restore \
          that somebody asked for does not wait: it counts as one, and runs also when all are taken.",
        &MAX_CONCURRENT_JOBS,
        1,
        1000,
        GucContext::Sighup,
        GucFlags::default(),
    );
    GucRegistry::define_int_guc(
        c"walwarden.lock_group",
        c"The process whose lock group this session joins when its first transaction begins.",
        c"For the pg_dump that walwarden starts; not for use by hand.",
        &LOCK_GROUP,
        0,
        i32::MAX,
        GucContext::Suset,
        GucFlags::NO_SHOW_ALL | GucFlags::SUPERUSER_ONLY,
    );
    crate::pg::table_owner::define_setting(
        c"walwarden.as_table_owner",
        c"Has COPY FROM and checks of constraints run with the rights of the table's owner.",
        c"For the pg_restore that walwarden starts; not for use by hand.",
        &AS_TABLE_OWNER,
    );
    crate::pg::toc_only::define_setting(
        c"walwarden.toc_only",
        c"Answers every COPY TO STDOUT of this session with this text and the statement itself.",
        c"For the pg_dump that walwarden starts; not for use by hand.",
        &TOC_ONLY,
    );
}

/// A text setting; None when unset or empty.
pub fn text(setting: &GucSetting<Option<CString>>) -> Option<String> {
    setting.get().map(|value| value.to_string_lossy().into_owned()).filter(|value| !value.is_empty())
}

/// How many bytes of memory the leader of a job may take.
pub fn max_memory() -> u64 {
    u64::try_from(MAX_MEMORY.get()).unwrap_or(0) << 20
}

/// How many jobs run at once in the cluster.
pub fn max_concurrent_jobs() -> usize {
    usize::try_from(MAX_CONCURRENT_JOBS.get()).unwrap_or(1)
}

/// The first part of every object's path.
pub fn organization() -> String {
    text(&ORGANIZATION).unwrap_or_else(|| "default".to_owned())
}
