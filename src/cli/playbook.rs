//! `mayday playbook`: what authors need.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

use super::args::{PlaybookCommand, PlaybookRun};
use super::client::Client;
use super::{Doors, Exit, Problem, say, wait};
use crate::core::message::cli as message;
use crate::playbook::{Book, authoring, library, span, testing};

/// Largest playbook that is read, bytes; the reader has its own limit and says so.
const MOST: u64 = 4 * 1024 * 1024;
/// At most so many files of one call.
const FILES: usize = 10_000;

/// Carries one out.
pub(super) fn carry_out(command: PlaybookCommand, doors: &dyn Doors) -> Result<Exit, Problem> {
    match command {
        PlaybookCommand::Check { paths, json } => check(&paths, json),
        PlaybookCommand::Test { paths } => test(&paths),
        PlaybookCommand::Plan(run) => wait(tell(run, "plan", doors)),
        PlaybookCommand::Run(run) => wait(tell(run, "run", doors)),
        PlaybookCommand::Reference => {
            say(authoring::reference().trim_end());
            Ok(Exit::Done)
        }
        PlaybookCommand::Schema => {
            let schema = serde_json::to_string_pretty(&authoring::schema());
            say(&schema.map_err(|error| Problem::refused(error.to_string()))?);
            Ok(Exit::Done)
        }
    }
}

/// Every mistake of every file.
fn check(paths: &[PathBuf], json: bool) -> Result<Exit, Problem> {
    let files = files(paths)?;
    let (_, mistakes) = authoring::load_files(&files);
    // A program reads a line for each mistake; a person at a terminal also sees the place.
    let framed = !json && std::io::stdout().is_terminal();
    for mistake in &mistakes {
        let text = || String::from_utf8_lossy(&read(Path::new(&mistake.file)).unwrap_or_default()).into_owned();
        if json {
            say(&span::json(&text(), mistake).to_string());
            continue;
        }
        say(&mistake.to_string());
        if let Some(frame) = framed.then(text).and_then(|text| span::frame(&text, mistake)) {
            say(&frame);
        }
    }
    if mistakes.is_empty() {
        if !json {
            say(&message::playbooks_well(files.len()));
        }
        Ok(Exit::Done)
    } else {
        Err(Problem::refused(message::mistakes(mistakes.len())))
    }
}

/// The tests that playbooks carry. Nothing outside is touched.
fn test(paths: &[PathBuf]) -> Result<Exit, Problem> {
    let (mut passed, mut failed) = (0, 0);
    for file in files(paths)? {
        let book = match library::read(&file) {
            Ok(book) => book,
            // One that can't be read fails as a test does; the others are still tested.
            Err(found) => {
                found.iter().for_each(|mistake| say(&mistake.to_string()));
                failed += 1;
                continue;
            }
        };
        let shown = file.display().to_string();
        let reports = testing::run_tests(&book);
        if reports.is_empty() {
            say(&message::no_tests(&shown));
        }
        for report in reports {
            say(&message::tested(&shown, &report.name, report.failures.is_empty()));
            for failure in &report.failures {
                say(&format!("    {failure}"));
            }
            if report.failures.is_empty() { passed += 1 } else { failed += 1 }
        }
    }
    say(&message::tests_done(passed, failed));
    Ok(if failed == 0 { Exit::Done } else { Exit::Refused })
}

/// The files named, and the YAML files of the folders named (not of folders below).
pub(super) fn files(paths: &[PathBuf]) -> Result<Vec<PathBuf>, Problem> {
    let wrong = |path: &Path, why: &std::io::Error| {
        Problem::refused(message::no_file(&path.display().to_string(), &why.to_string()))
    };
    let mut files = Vec::new();
    for path in paths {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let mut inside = Vec::new();
        for entry in std::fs::read_dir(path).map_err(|error| wrong(path, &error))? {
            let entry = entry.map_err(|error| wrong(path, &error))?.path();
            if entry.extension().is_some_and(|extension| extension == "yaml" || extension == "yml") && entry.is_file() {
                inside.push(entry);
            }
        }
        inside.sort();
        files.append(&mut inside);
        if files.len() > FILES {
            return Err(Problem::refused(message::too_many_files(FILES)));
        }
    }
    if files.is_empty() { Err(Problem::refused(message::no_playbooks())) } else { Ok(files) }
}

/// A file's bytes, or its beginning if it is far too large: the reader then says that it is.
pub(super) fn read(file: &Path) -> std::io::Result<Vec<u8>> {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    std::fs::File::open(file)?.take(MOST).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// `plan` and `run` are the chat's commands: only the running bot sees the live system, and it runs the playbooks it has.
async fn tell(run: PlaybookRun, verb: &str, doors: &dyn Doors) -> Result<Exit, Problem> {
    let path = Path::new(&run.playbook);
    let mut own_version = None;
    let id = if path.is_file() || run.playbook.contains('/') {
        let bytes =
            read(path).map_err(|error| Problem::refused(message::no_file(&run.playbook, &error.to_string())))?;
        let book = Book::read(&run.playbook, &bytes)
            .map_err(|found| Problem::refused(found.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")))?;
        own_version = Some(book.version());
        book.playbook.playbook_id.clone()
    } else {
        run.playbook.clone()
    };
    let client = Client::find(&run.bot, doors)?;
    if let Some(own) = own_version {
        // The bot runs what it has: a plan or run of another text than that of the file would be taken for one of the file's.
        let known = client.ask(client.post("/api/v1/say").json(&serde_json::json!({ "text": "playbooks" })));
        let known = known.await?;
        let all = known["data"]["playbooks"].as_array().into_iter().flatten();
        let theirs = all.filter(|book| book["id"] == *id).find_map(|book| book["version"].as_str());
        if theirs != Some(own.as_str()) {
            return Err(Problem::refused(message::other_version(&id, &own, theirs)));
        }
    }
    let text = [verb, &id].into_iter().chain(run.parameters.iter().map(String::as_str)).collect::<Vec<_>>().join(" ");
    let reply = client.ask(client.post("/api/v1/say").json(&serde_json::json!({ "text": text }))).await?;
    say(reply["text"].as_str().unwrap_or_default());
    Ok(if reply["ok"] == true { Exit::Done } else { Exit::Refused })
}
