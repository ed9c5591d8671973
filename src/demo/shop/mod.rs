//! The demo's shop: real processes with HTTP, metrics, health and logs, small enough to read and real enough to break.
//!
//! `gateway` → `order-service` → `inventory-service` → `store`, and `gateway` → `payment-gateway` → `store`; `load` buys.
//! Each is this binary started with the hidden subcommand `shop-service`.
//!
//! Architecture Invariant: nothing here knows Mayday; it is watched and healed through the doors any service has.

pub mod disk;
pub mod gauges;
pub mod load;
pub mod parent;
pub mod part;
pub mod serve;
pub mod shelf;
pub mod sick;
pub mod upstream;

use std::path::PathBuf;

/// How one process of the shop is started.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Which part of the shop.
    #[arg(value_enum)]
    pub part: part::Part,
    /// Port on 127.0.0.1.
    #[arg(long, default_value_t = 0)]
    pub port: u16,
    /// A service it calls: `inventory-service=http://127.0.0.1:4711`. May be given several times.
    #[arg(long = "upstream", value_name = "NAME=URL")]
    pub upstreams: Vec<upstream::Address>,
    /// Its own folder, for the parts that write one.
    #[arg(long)]
    pub folder: Option<PathBuf>,
    /// How much that folder may hold, bytes.
    #[arg(long, default_value_t = 20_000_000)]
    pub quota: u64,
    /// A file with the token that whoever makes faults must know.
    #[arg(long)]
    pub control_file: Option<PathBuf>,
}

/// What kept a process of the shop from starting.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A port, a folder, a file.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// The HTTP client.
    #[error("the HTTP client can't be built: {0}")]
    Http(#[from] reqwest::Error),
    /// An argument that the part needs.
    #[error("load needs --upstream gateway=URL")]
    NoGateway,
}

/// Runs one process of the shop until its parent ends.
///
/// # Errors
/// What kept it from starting.
pub fn run(args: Args) -> Result<(), Error> {
    parent::end_with_it();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    runtime.block_on(async {
        match args.part {
            part::Part::Load => load::run(args).await,
            _ => serve::run(args).await,
        }
    })
}

/// Reads the arguments of `mayday shop-service`.
///
/// # Errors
/// What is wrong with them.
pub fn arguments(given: Vec<std::ffi::OsString>) -> Result<Args, Vec<String>> {
    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }
    let line = std::iter::once("shop-service".into()).chain(given);
    <Line as clap::Parser>::try_parse_from(line).map(|line| line.args).map_err(|error| vec![error.to_string()])
}

/// Writes one log line: time, level, service, text.
pub fn log(level: &str, part: part::Part, text: &str) {
    use crate::core::Clock as _;
    use std::io::Write as _;
    let now = crate::core::clock::SystemClock.now();
    // A closed pipe means that the parent is gone; then this process ends anyway.
    let _ = writeln!(std::io::stdout().lock(), "{now:.3} {level} {} {text}", part.name());
}
