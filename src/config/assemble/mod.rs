//! A running bot out of a configuration: opens the store, wires the rooms to each other, and starts their loops.
//!
//! Nothing is decided here. What a room needs of another goes through the traits it owns; those that no room above
//! it implements are implemented in [`ports`].

pub mod log;
pub mod named;
pub mod ports;
pub mod stop;

use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use secrecy::ExposeSecret as _;
use tokio::task::JoinSet;

use super::Config;
use crate::access::audit::checkpoint;
use crate::access::token_file::TokenFile;
use crate::access::{Audit, Persons, Sessions};
use crate::catalog::Catalog;
use crate::chat::outbox::Delivery;
use crate::chat::web::WebChat;
use crate::command::wire::StoredIncidents;
use crate::core::SharedClock;
use crate::core::clock::SystemClock;
use crate::core::message::{cli as say, config as message};
use crate::core::stop::Stopper;
use crate::diagnose::{self, Diagnosis, HttpHealth};
use crate::http::doors::{DemoPanel, Doors};
use crate::http::wire::{People, Stored};
use crate::incident::{self, Incidents};
use crate::ops::auditor::Auditor;
use crate::ops::delivery::Outbox;
use crate::ops::health::{self, Ask, Check, Health, State};
use crate::ops::schedule::{self, Scheduler};
use crate::ops::telemetry::Telemetry;
use crate::playbook::{Engine, Library, Parts, Registry, Runs, Versions};
use crate::store::SharedStore;
use crate::store::clock::StoreClock;
use crate::store::series::Series;
use crate::work::{Leases, serve};
use crate::{action, command, heal, http, playbook, source, store, watch};

/// Loops have this long to end when the bot stops; the listener before them has its own time.
const FAREWELL: Duration = Duration::from_secs(15);

/// Why a bot can't be started; each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The data folder.
    #[error("the data folder {path} can't be used: {why}; set `data` to a folder that this user may write")]
    Data {
        /// Which.
        path: String,
        /// The system's words.
        why: std::io::Error,
    },
    /// The store.
    #[error("{0}")]
    Store(#[from] store::Error),
    /// The metrics' files.
    #[error("the series can't be opened: {0}")]
    Series(String),
    /// Persons, sessions, the token file.
    #[error("{0}")]
    Access(#[from] crate::access::Error),
    /// Names in the catalogue.
    #[error("{0}")]
    Catalog(#[from] crate::catalog::Error),
    /// What playbooks may reach.
    #[error("{0}")]
    Actions(#[from] action::BadOptions),
    /// A playbook with mistakes.
    #[error("{}", .0.join("\n"))]
    Playbooks(Vec<String>),
    /// Own eyes.
    #[error("{0}")]
    Watch(#[from] watch::Error),
    /// The listener.
    #[error("{0}")]
    Http(#[from] http::Error),
    /// The metrics recorder.
    #[error("{0}")]
    Telemetry(#[from] crate::ops::telemetry::Error),
    /// A loop ended by itself.
    #[error("{0} ended by itself; see the log, and start again")]
    Ended(&'static str),
    /// A schedule that can't be kept.
    #[error("{0}")]
    Schedules(#[from] schedule::BadSchedule),
    /// The store failed while the bot ran.
    #[error("the store takes no more commits: {0}; look at the disk, and start again")]
    StoreFailed(String),
}

/// A bot that runs.
pub struct Bot {
    url: String,
    local_url: String,
    data: PathBuf,
    sessions: Sessions,
    has_passwords: bool,
    token: TokenFile,
    listener: Stopper,
    loops: Stopper,
    tasks: JoinSet<&'static str>,
    /// Ends last: what the loops finish is still fenced by the leases.
    keeper: (Stopper, tokio::task::JoinHandle<()>),
    store: SharedStore,
    _folder: std::fs::File,
    took: Duration,
}

impl Bot {
    /// Opens the data folder, starts every loop and the listener. Ready when it returns.
    ///
    /// # Errors
    /// [`Error`]; nothing runs then.
    pub async fn start(config: Config, demo: Option<Arc<dyn DemoPanel>>) -> Result<Self, Error> {
        let began = Instant::now();
        let telemetry = Telemetry::install()?;
        let opened = open(&config).await?;
        let machine = config.store.postgres.is_some().then(|| config.watch.host.machine());
        let leases = match machine {
            Some(_) => Leases::share_as(&opened.store, &opened.clock, machine.clone()).await?,
            None => Leases::take_all(&opened.store, &opened.clock, "local").await?,
        };
        let shared = machine.is_some();
        let started = Self::above_leases(config, demo, telemetry, opened, (machine, leases.clone()), began).await;
        // One that can't start, again and again perhaps, must not keep shards from those that work.
        if started.is_err()
            && shared
            && let Err(error) = leases.leave().await
        {
            tracing::warn!(%error, "the shards are not given back; they are free in some seconds");
        }
        started
    }

    /// Everything above the leases.
    async fn above_leases(
        config: Config,
        demo: Option<Arc<dyn DemoPanel>>,
        telemetry: Telemetry,
        opened: Opened,
        (machine, leases): (Option<String>, Arc<Leases>),
        began: Instant,
    ) -> Result<Self, Error> {
        let Opened { folder, store, series, clock, store_clock } = opened;

        let catalog = Arc::new(Catalog::new(config.services.clone())?);
        let persons = Arc::new(Persons::new(&config.access)?);
        let sessions = Sessions::new(store.clone(), clock.clone(), persons.clone(), config.access.clone())?;
        let audit = Audit::new(store.clone(), clock.clone());
        let checkpoints = config.access.checkpoints.clone();
        let signer = crate::access::audit::Signer::open(&signing_key(&config))?;
        // Without a path each replica has drawn a key of its own.
        let own_keys = config.store.postgres.is_some() && checkpoints.key_path.is_none();
        let signing = checkpoint::Service::new(store.clone(), clock.clone(), signer, &checkpoints);
        let signing = Arc::new(signing.beside_other_keys(own_keys));
        let incidents = Incidents::new(store.clone(), clock.clone());
        let intake = incident::Intake::new(store.clone(), clock.clone(), catalog.clone(), config.incidents.clone());

        let sink = Arc::new(ports::OwnAlerts(intake.clone()));
        let auditor = Auditor::new(
            store.clone(),
            clock.clone(),
            Arc::new(incidents.clone()),
            sink.clone(),
            config.auditor.clone(),
        );
        let auditor = Arc::new(auditor.trusting(signing.only_key()));
        let charge = Arc::new(ports::Shared { leases: leases.clone(), machine: machine.clone() });
        let (watch, eyes) =
            watch::Service::new(config.watch.clone(), store.clone(), series, sink, charge, clock.clone())?;
        let logs: Arc<dyn source::Logs> = Arc::new(eyes.logs.clone());
        let metrics: Arc<dyn source::Metrics> = Arc::new(eyes.metrics.clone());

        let (library, mistakes) = Library::load(config.playbooks.folder.as_deref());
        if !mistakes.is_empty() {
            return Err(Error::Playbooks(mistakes.iter().map(ToString::to_string).collect()));
        }
        let wrong = named::unknown(&config, &library);
        if !wrong.is_empty() {
            return Err(Error::Playbooks(wrong));
        }
        for says in named::warnings(&config, &library) {
            tracing::warn!("{says}");
        }
        let library = Arc::new(library);
        let versions = Versions::new(
            store.clone(),
            clock.clone(),
            audit.clone(),
            library.clone(),
            config.playbooks.folder.clone(),
        );
        versions.note().await?;
        let listen = free_port(config.http.listen);
        let actions = action::all(&action::Deps {
            catalog: catalog.clone(),
            logs: logs.clone(),
            metrics: metrics.clone(),
            processes: Some(Arc::new(eyes.processes.clone())),
            mail: None,
            store: store.clone(),
            clock: clock.clone(),
            machine,
            own_listener: Some(listen),
            options: config.actions.clone(),
        })?;
        let engine = Engine::new(Parts {
            store: store.clone(),
            clock: clock.clone(),
            leases: leases.clone(),
            audit: audit.clone(),
            library: library.clone(),
            actions: Registry::new(actions),
            options: config.playbooks.clone(),
            standing: named::by_name(config.access.standing.clone(), &catalog),
        });
        let runs: Arc<dyn Runs> = Arc::new(engine.clone());

        let reads = diagnose::Sources {
            logs: logs.clone(),
            metrics: metrics.clone(),
            machine: Arc::new(eyes.clone()),
            health: Arc::new(HttpHealth::new()?),
        };
        let diagnosis = Diagnosis::new(reads, catalog.clone(), config.diagnose.clone(), clock.clone());
        let heal = heal::Service::new(
            heal::Deps {
                store: store.clone(),
                clock: clock.clone(),
                incidents: Arc::new(incidents.clone()),
                runs: runs.clone(),
                triggers: library.clone(),
                explains: Arc::new(diagnosis),
                catalog: catalog.clone(),
                places: config.incidents.clone(),
            },
            config.heal.clone(),
            leases.clone(),
        );

        let scheduler = Scheduler::new(
            schedule::Deps {
                store: store.clone(),
                clock: clock.clone(),
                runs: runs.clone(),
                jobs: ports::jobs(signing.clone(), auditor.clone()),
                channel: crate::chat::ChannelId::web(config.incidents.default_channel.clone()),
            },
            config.schedules.clone(),
        )?;

        let health = Health::new(checks(&store, &clock, &telemetry, &library, &eyes, &auditor), clock.clone());
        let desk = command::Desk::new(
            command::Deps {
                incidents: Arc::new(StoredIncidents { incidents: incidents.clone(), catalog: catalog.clone() }),
                runs: runs.clone(),
                playbooks: Arc::new(versions.clone()),
                plans: Arc::new(engine.clone()),
                logs,
                metrics,
                causes: heal.investigator(),
                catalog: catalog.clone(),
                people: persons.clone(),
                audits: Arc::new(audit.clone()),
                schedules: Arc::new(scheduler.clone()),
                health: Arc::new(health.clone()),
                clock: clock.clone(),
            },
            config.commands.clone(),
        );

        let web = WebChat::new(store.clone(), clock.clone(), config.web.clone());
        let token = TokenFile::create(&config.data, &format!("http://{}", reachable(listen)))?;
        let render = telemetry.clone();
        let doors = Doors {
            intake: Arc::new(intake),
            commands: Arc::new(desk),
            chat: web.clone(),
            reads: Arc::new(ports::Read { stored: Stored { incidents, runs, audit }, store: store.clone() }),
            gate: Arc::new(People {
                sessions: sessions.clone(),
                persons: persons.clone(),
                admin_token: token.token.clone(),
                link: !persons.have_passwords(),
            }),
            health: Arc::new(health),
            metrics: Arc::new(move || render.render()),
            home_channel: config.incidents.default_channel.clone(),
            demo,
            clock: clock.clone(),
        };
        let listener = http::Service::new(http::Options { listen, ..config.http.clone() }, doors).await?;

        let (listener_stopper, listener_stop) = Stopper::new();
        let (loops, stop) = Stopper::new();
        let (keeper, keep) = Stopper::new();
        let keeper = (keeper, tokio::spawn(leases.clone().keep(keep)));
        let mut tasks = JoinSet::new();
        let url = listener.url();
        let local_url = format!("http://{}", listener.local_addr());
        let incident = incident::Service::new(store.clone(), clock.clone(), leases.clone(), catalog, config.incidents);
        let delivery = Delivery::new(vec![Arc::new(web)], clock.clone(), config.delivery);
        let outbox = Outbox::new(delivery, store.clone(), clock.clone());
        if let Some(store_clock) = store_clock {
            run(&mut tasks, "the store's clock", store_clock.keep(store.clone(), stop.clone()));
        }
        run(&mut tasks, "the incident loop", incident.run(stop.clone()));
        run(&mut tasks, "the scheduler", scheduler.run(leases.clone(), stop.clone()));
        run(&mut tasks, "the delivery of posts", serve(outbox.queue(), leases, clock, outbox, stop.clone()));
        run(&mut tasks, "own eyes", watch.run(stop.clone()));
        run(&mut tasks, "the playbook engine", playbook::Service::new(engine).run(stop.clone()));
        run(&mut tasks, "the versions of playbooks", versions.run(stop.clone()));
        run(&mut tasks, "the healing loop", heal.run(stop.clone()));
        run(&mut tasks, "the audit's checkpoints", signing.run(stop.clone()));
        run(&mut tasks, "the auditor", auditor.run(stop.clone()));
        run(&mut tasks, "the telemetry", telemetry.upkeep(stop));
        run(&mut tasks, "the listener", async move {
            if let Err(error) = listener.run(listener_stop).await {
                tracing::error!(%error, "the listener failed");
            }
        });
        let took = began.elapsed();
        tracing::info!(url, took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX), "ready");
        Ok(Self {
            url,
            local_url,
            data: config.data,
            sessions,
            has_passwords: persons.have_passwords(),
            token,
            listener: listener_stopper,
            loops,
            tasks,
            keeper,
            store,
            _folder: folder,
            took,
        })
    }

    /// The address people open.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Where it listens on this machine.
    #[must_use]
    pub fn local_url(&self) -> &str {
        &self.local_url
    }

    /// From the call to ready.
    #[must_use]
    pub const fn took(&self) -> Duration {
        self.took
    }

    /// Whether people sign in with passwords.
    #[must_use]
    pub const fn has_passwords(&self) -> bool {
        self.has_passwords
    }

    /// A link that signs whoever opens it in as the one at this terminal, once.
    ///
    /// # Errors
    /// The store's.
    pub async fn sign_in_link(&self) -> Result<String, Error> {
        let token = self.sessions.invite(&Persons::you().id).await?;
        Ok(format!("{}/sign-in?token={}", self.url, token.expose_secret()))
    }

    /// Waits until asked to stop, then ends everything in order: first the listener, so that nothing new comes, then the
    /// loops, which finish what they have begun.
    ///
    /// # Errors
    /// [`Error::Ended`]: a loop ended that should not have. [`Error::StoreFailed`]: nothing can be stored before a restart.
    pub async fn until(mut self, asked: impl Future<Output = ()>) -> Result<(), Error> {
        let early = tokio::select! {
            () = asked => None,
            Some(ended) = self.tasks.join_next() => Some(Error::Ended(ended.unwrap_or("a loop"))),
            why = store_fails(&self.store) => Some(Error::StoreFailed(why)),
        };
        self.listener.stop();
        // The listener says goodbye to its connections within its own time; requests under way still need the loops.
        if early.is_none() {
            let _ = tokio::time::timeout(FAREWELL, self.tasks.join_next()).await;
        }
        self.loops.stop();
        let ended = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(FAREWELL, ended).await.is_err() {
            tracing::warn!("some loops did not end in time; what they had begun is settled at the next start");
            self.tasks.abort_all();
        }
        let (stopper, kept) = self.keeper;
        stopper.stop();
        let _ = tokio::time::timeout(FAREWELL, kept).await;
        self.token.remove(&self.data);
        early.map_or(Ok(()), Err)
    }
}

/// Ends when the store has failed for good: only a restart helps then, so the process must end for whoever restarts it.
async fn store_fails(store: &SharedStore) -> String {
    loop {
        if let Some(why) = store.failed() {
            return why;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

struct Opened {
    /// Held as long as the bot runs.
    folder: std::fs::File,
    store: SharedStore,
    series: Arc<Series>,
    clock: SharedClock,
    /// Where the store has a clock of its own, that is the one to go by.
    store_clock: Option<Arc<StoreClock>>,
}

/// Opens what is on disk; both read a lot, so they do it off the loops' threads, and side by side where they share no clock.
async fn open(config: &Config) -> Result<Opened, Error> {
    let wrong = |why| Error::Data { path: config.data.display().to_string(), why };
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&config.data).map_err(wrong)?;
    let folder = claim(&config.data).await?;
    let machine = SystemClock::shared();
    let series = |clock: &SharedClock| {
        let (path, options, clock) = (config.data.join("series"), config.series.clone(), clock.clone());
        tokio::task::spawn_blocking(move || Series::open(&path, options, clock))
    };
    let (store, series, clock, store_clock) = match &config.store.postgres {
        Some(postgres) => {
            let store = store::postgres::open(postgres, &config.store).await?;
            let store_clock = StoreClock::of(&store, &machine).await?;
            let clock = store_clock.clone().map_or(machine, |clock| clock as SharedClock);
            (store, series(&clock), clock, store_clock)
        }
        None => {
            let (path, options) = (config.data.join("store"), config.store.clone());
            let series = series(&machine);
            let store = tokio::task::spawn_blocking(move || store::open(&path, &options)).await;
            (store.map_err(|error| store::Error::Unavailable(error.to_string()))??, series, machine, None)
        }
    };
    let series = series.await.map_err(|error| wrong(std::io::Error::other(error)))?;
    Ok(Opened { folder, store, series: series.map_err(|error| Error::Series(error.to_string()))?, clock, store_clock })
}

/// Makes the data folder this process's: the token file, the series and the signing key are one bot's, also where the store is
/// elsewhere. The system lets go of it with the process, or a moment later where that was just starting a program.
async fn claim(data: &Path) -> Result<std::fs::File, Error> {
    const AGAIN: (u32, Duration) = (15, Duration::from_millis(20));
    let wrong = |why| Error::Data { path: data.display().to_string(), why };
    let lock = std::fs::File::options().create(true).append(true).open(data.join("lock")).map_err(wrong)?;
    for _ in 0..AGAIN.0 {
        match lock.try_lock() {
            Ok(()) => return Ok(lock),
            Err(std::fs::TryLockError::WouldBlock) => tokio::time::sleep(AGAIN.1).await,
            Err(std::fs::TryLockError::Error(why)) => return Err(wrong(why)),
        }
    }
    Err(store::Error::InUse(data.display().to_string()).into())
}

/// Opens the store of a bot that does not run, for commands that only need what is in it.
///
/// # Errors
/// The store's; it is in use while a bot runs.
pub async fn open_store(data: &Path) -> Result<SharedStore, store::Error> {
    let path = data.join("store");
    let opened = tokio::task::spawn_blocking(move || store::open(&path, &store::Options::default())).await;
    opened.map_err(|error| store::Error::Unavailable(error.to_string()))?
}

/// The store that a configuration names and the clock to go by, for a command that works on it for a moment. An embedded one
/// must not be in use; a database keeps the tables it has.
///
/// # Errors
/// The store's.
pub async fn open_configured(config: &Config) -> Result<(SharedStore, SharedClock), store::Error> {
    let machine = SystemClock::shared();
    let Some(postgres) = &config.store.postgres else {
        if !config.data.join("store").is_dir() {
            return Err(store::Error::Unavailable(say::no_store(&config.data.display().to_string())));
        }
        return Ok((open_store(&config.data).await?, machine));
    };
    let store = store::postgres::open_as_it_is(postgres, &config.store).await?;
    let clock = StoreClock::of(&store, &machine).await?.map_or(machine, |clock| clock as SharedClock);
    Ok((store, clock))
}

/// Where the key is that signs the audit's checkpoints.
#[must_use]
pub fn signing_key(config: &Config) -> PathBuf {
    let named = config.access.checkpoints.key_path.clone();
    named.unwrap_or_else(|| config.data.join(crate::access::audit::KEY_NAME))
}

fn run(tasks: &mut JoinSet<&'static str>, name: &'static str, work: impl Future<Output = ()> + Send + 'static) {
    tasks.spawn(async move {
        work.await;
        name
    });
}

/// The token file must name the port before the listener is made with the token: port 0 becomes a free one here.
fn free_port(listen: std::net::SocketAddr) -> std::net::SocketAddr {
    if listen.port() != 0 {
        return listen;
    }
    std::net::TcpListener::bind(listen).and_then(|taken| taken.local_addr()).unwrap_or(listen)
}

/// Where a command on this machine finds the listener.
fn reachable(listen: std::net::SocketAddr) -> std::net::SocketAddr {
    if listen.ip().is_unspecified() {
        let local = if listen.is_ipv4() { [127, 0, 0, 1].into() } else { std::net::Ipv6Addr::LOCALHOST.into() };
        return std::net::SocketAddr::new(local, listen.port());
    }
    listen
}

fn checks(
    store: &SharedStore,
    clock: &SharedClock,
    telemetry: &Telemetry,
    library: &Arc<Library>,
    eyes: &watch::Handle,
    auditor: &Arc<Auditor>,
) -> Vec<Arc<dyn Check>> {
    let (library, auditor) = (library.clone(), auditor.clone());
    vec![
        Arc::new(health::StoreCheck(store.clone())),
        Arc::new(health::QueuesCheck { store: store.clone(), clock: clock.clone(), queues: health::QUEUES }),
        Arc::new(health::DeliveryCheck { store: store.clone(), clock: clock.clone() }),
        Arc::new(Ask { name: "playbooks", ask: move || playbooks(&library) }),
        ports::own_eyes(eyes),
        Arc::new(Ask { name: "auditor", ask: move || auditor.health() }),
        Arc::new(health::ProcessCheck(telemetry.clone())),
    ]
}

/// A file that has become bad keeps nobody from running its last good version; somebody thinks that it is another one.
fn playbooks(library: &Library) -> (State, String) {
    let (loaded, wrong) = (library.all().len(), library.wrong());
    match wrong.first() {
        None => (State::Well, message::playbooks_loaded(loaded)),
        Some(first) => (State::Degraded, message::playbooks_wrong(loaded, first, wrong.len() - 1)),
    }
}
