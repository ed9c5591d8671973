//! The `mayday` binary: joins the rooms of the top layer, which don't know each other.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use mayday::{cli, config, demo};

fn main() -> ExitCode {
    // Before anything else: every TLS client takes this one, and some refuse to be built without.
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        eprintln!("a TLS provider was already there");
    }
    cli::main(&Rooms)
}

struct Rooms;

impl cli::Doors for Rooms {
    fn run(&self, config: &Path) -> Result<(), Vec<String>> {
        let config = config::load(config).map_err(lines)?;
        let _ = config;
        Ok(())
    }

    fn demo(&self, port: Option<u16>, data: Option<PathBuf>) -> Result<(), Vec<String>> {
        let _ = (port, data);
        Ok(())
    }

    fn shop_service(&self, arguments: Vec<OsString>) -> Result<(), Vec<String>> {
        demo::shop::run(demo::shop::arguments(arguments)?).map_err(|error| vec![error.to_string()])
    }

    fn check(&self, config: &Path) -> Result<String, Vec<String>> {
        let loaded = config::load(config).map_err(lines)?;
        Ok(mayday::core::message::config::all_well(&config.display().to_string(), loaded.services.len(), 0))
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
}

fn lines(mistakes: Vec<config::Diagnostic>) -> Vec<String> {
    mistakes.iter().map(ToString::to_string).collect()
}
