//! The `mayday` binary: joins the rooms of the top layer, which don't know each other.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use mayday::config::Config;
use mayday::config::assemble::{Bot, log, stop};
use mayday::core::BoxFuture;
use mayday::core::message::{config as message, demo as demo_message};
use mayday::store::SharedStore;
use mayday::{cli, config, demo};

/// glibc's allocator took a third of the time of an intake under load (measured), and kept more memory.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    if let Some(exit) = mayday::watch::guard::serve() {
        return exit;
    }
    // Before any client: every TLS client takes this one, and some refuse to be built without.
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        eprintln!("a TLS provider was already there");
    }
    cli::main(&Rooms)
}

struct Rooms;

impl cli::Doors for Rooms {
    fn run(&self, file: &Path) -> Result<(), Vec<String>> {
        let config = config::load(file).map_err(lines)?;
        log::start(&config.log).map_err(one)?;
        runtime()?.block_on(serve(config)).map_err(one)
    }

    fn demo(&self, port: Option<u16>, data: Option<PathBuf>) -> Result<(), Vec<String>> {
        runtime()?.block_on(play(port, data))
    }

    fn shop_service(&self, arguments: Vec<OsString>) -> Result<(), Vec<String>> {
        demo::shop::run(demo::shop::arguments(arguments)?).map_err(one)
    }

    fn check(&self, file: &Path) -> Result<String, Vec<String>> {
        let loaded = config::load(file).map_err(lines)?;
        let books = config::assemble::named::look(&loaded)?;
        let warnings = runtime()?.block_on(config::database::look(file, &loaded)).map_err(one)?;
        let warned = books.warnings.iter().map(|says| message::warning(says));
        let well = message::all_well(&file.display().to_string(), loaded.services.len(), books.playbooks);
        Ok(warnings.iter().map(ToString::to_string).chain(warned).chain([well]).collect::<Vec<_>>().join("\n"))
    }

    fn example(&self) -> &str {
        config::EXAMPLE
    }

    fn faults(&self) -> Vec<(String, String)> {
        demo::fault::FAULTS.iter().map(|fault| (fault.name.to_owned(), fault.does.to_owned())).collect()
    }

    fn data_folders(&self) -> Vec<PathBuf> {
        let here = PathBuf::from("mayday-data");
        demo::town::last().into_iter().chain([here]).collect()
    }

    fn open_store<'a>(&'a self, data: &'a Path) -> BoxFuture<'a, Result<SharedStore, String>> {
        Box::pin(async move { config::assemble::open_store(data).await.map_err(|error| error.to_string()) })
    }

    fn open_configured<'a>(&'a self, file: &'a Path) -> BoxFuture<'a, Result<cli::Opened, String>> {
        Box::pin(async move {
            let config = config::load(file).map_err(|mistakes| lines(mistakes).join("\n"))?;
            let opened = config::assemble::open_configured(&config).await.map_err(|error| error.to_string())?;
            let (store, clock) = opened;
            Ok(cli::Opened { store, clock, key: config::assemble::signing_key(&config) })
        })
    }
}

/// Runs a bot until the process is asked to stop.
async fn serve(config: Config) -> anyhow::Result<()> {
    let asked = stop::asked()?;
    let valid = config.access.link_valid;
    let bot = Bot::start(config, None).await?;
    say(&message::ready(bot.url(), bot.local_url()));
    if !bot.has_passwords() {
        say(&message::link(&bot.sign_in_link().await?, &valid.to_string()));
    }
    bot.until(asked).await?;
    Ok(())
}

/// Runs the demo until the process is asked to stop.
async fn play(port: Option<u16>, data: Option<PathBuf>) -> Result<(), Vec<String>> {
    let asked = stop::asked().map_err(one)?;
    let temporary = data.is_none();
    let town = demo::town::Town::build(data).map_err(one)?;
    let wanted = port.unwrap_or(demo::town::PORT);
    let port = demo::town::web_port(Some(wanted)).map_err(one)?;
    if port != wanted && wanted != 0 {
        say(&demo_message::other_port(wanted, port));
    }
    let program = std::env::current_exe().map_err(one)?;
    let text = serde_json::to_string_pretty(&demo::plan::configuration(&town, port, &program)).map_err(one)?;
    let file = town.data.join("mayday.yaml");
    std::fs::write(&file, &text).map_err(one)?;
    let config = config::load(&file).map_err(lines)?;
    log::start(&config.log).map_err(one)?;
    let panel = Arc::new(demo::panel::Panel::new(&town).map_err(one)?);
    let bot = Bot::start(config, Some(panel)).await.map_err(one)?;
    town.announce();
    let link = bot.sign_in_link().await.map_err(one)?;
    let folder = town.data.display().to_string();
    let folder = if temporary { demo_message::temporary(&folder) } else { folder };
    let faults: Vec<(&str, &str)> = demo::fault::FAULTS.iter().map(|fault| (fault.name, fault.does)).collect();
    say(&demo_message::welcome(&link, &folder, &faults));
    let ended = bot.until(asked).await;
    drop(town);
    say(&demo_message::goodbye());
    ended.map_err(one)
}

/// Four threads serve thousands of waiting things; more would only cost memory.
fn runtime() -> Result<tokio::runtime::Runtime, Vec<String>> {
    let threads = std::thread::available_parallelism().map_or(2, |count| count.get().clamp(2, 4));
    tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build().map_err(one)
}

fn one(error: impl std::fmt::Display) -> Vec<String> {
    vec![error.to_string()]
}

fn lines(mistakes: Vec<config::Diagnostic>) -> Vec<String> {
    mistakes.iter().map(ToString::to_string).collect()
}

/// A line on standard output. Whoever started Mayday may have stopped reading; that must not end it.
fn say(line: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stdout(), "{line}");
}
