//! The console, with everything that it needs from the engine.

use std::{ffi::OsString, fs, path::PathBuf, sync::Arc, thread};

use tokio::sync::mpsc;

use super::guides::Guides;
use crate::{
    base::{clock::Clock, config::Config, ledger::Who, paths, text::Text},
    cli::{
        Exit, Failure,
        guide::{self, Ground},
        setup,
        silence::desk::Desk,
        work,
    },
    console::{
        app::{
            effects::{Notice, Port, Told},
            paint::Looks,
            run::{self, ConsoleError, ConsoleParams},
        },
        command,
        input::keymap::{Keymap, Keys},
        model::{Calling, GuideWish, Tone},
        theme::{Depth, Glyphs, TermEnv, Themes},
    },
    sandbox::{DemoHandle, Incident},
    watch::{
        sampler::{self, Order, Plan},
        silences::{Wish, about},
    },
};

/// Starts watching, opens the console, and waits until it is left.
pub fn open(
    config: &Config,
    plan: Plan,
    demo: Option<DemoHandle>,
    ground: Ground,
) -> Result<Exit, Failure> {
    let keys = keymap(config)?;
    let looks = looks(config)?;
    let log = setup::open_log(config);
    let runtime = setup::runtime()?;
    let clock = Clock::system();
    let watched = Arc::new((plan.clone(), ground.config.clone()));
    let watch = runtime
        .block_on(async { sampler::start(plan, &clock) })
        .map_err(|error| Failure::new(Exit::Failure, error))?;
    let (say, notices) = mpsc::unbounded_channel();
    let calling =
        Calling { common: ground.common.clone(), place: guide::place_words(&ground.place) };
    let actor = ground.actor.clone();
    let guides = Guides::start(ground, say.clone());
    let theme = setup::paths()?.chosen_theme();
    let door = Door { orders: watch.orders(), say, guides, demo, theme, actor, watched };
    let params = ConsoleParams {
        snapshots: watch.snapshots.clone(),
        notices,
        port: Box::new(door),
        clock,
        looks,
        keys,
        calling,
        mouse: config.mouse,
        mouse_garbled: std::env::var_os("MOSH_CONNECTION").is_some(),
        log,
    };
    let reason = run::run(params);
    drop(watch);
    // A name that is being resolved cannot be cancelled; nobody waits for it.
    runtime.shutdown_background();
    match reason {
        Ok(reason) => Ok(Exit::Code(reason.code())),
        Err(error) => Err(cannot_open(error)),
    }
}

/// Without a terminal there is another way to see the same.
fn cannot_open(error: ConsoleError) -> Failure {
    match error {
        ConsoleError::NoTerminal | ConsoleError::Dumb => {
            let what = format!("{error}; `howdah status` prints the same without one");
            Failure::new(Exit::Usage, what)
        }
        error => Failure::new(Exit::Failure, error),
    }
}

/// What keeps the console from opening here, before anything is begun for it.
pub fn check_terminal() -> Result<(), Failure> {
    run::check_terminal().map_err(cannot_open)
}

/// The table of commands and keys.
pub fn keys(config: &Config) -> Result<String, Failure> {
    Ok(command::markdown_table(&keymap(config)?))
}

/// Whether keys and themes can be used.
pub fn check_looks(config: &Config) -> Result<(), Failure> {
    keymap(config)?;
    let looks = looks(config)?;
    let picked = looks.themes.pick(&looks.theme, looks.depth);
    picked.map(|_| ()).map_err(|error| Failure::new(Exit::Config, error))
}

/// The keys of the configuration.
fn keymap(config: &Config) -> Result<Keymap, Failure> {
    let settings =
        config.keys.iter().map(|(id, keys)| (id.clone(), Keys::Many(keys.clone()))).collect();
    command::keymap(&settings).map_err(|errors| {
        let words: Vec<String> = errors.iter().map(ToString::to_string).collect();
        Failure::new(Exit::Config, format!("[keys]: {}", words.join("; ")))
    })
}

fn looks(config: &Config) -> Result<Looks, Failure> {
    let variable = |name| std::env::var(name).ok();
    let [term, colorterm, no_color, lc_all, lc_ctype, lang] =
        ["TERM", "COLORTERM", "NO_COLOR", "LC_ALL", "LC_CTYPE", "LANG"].map(variable);
    let mut env = TermEnv {
        term: term.as_deref(),
        colorterm: colorterm.as_deref(),
        no_color: no_color.as_deref(),
        lc_all: lc_all.as_deref(),
        lc_ctype: lc_ctype.as_deref(),
        lang: lang.as_deref(),
    };
    let glyphs = match config.glyphs.as_str() {
        "unicode" => Glyphs::Unicode,
        "ascii" => Glyphs::Ascii,
        _ => Glyphs::from_env(&env),
    };
    let depth = match config.color.as_str() {
        "never" => Depth::None,
        "always" => {
            env.no_color = None;
            Depth::from_env(&env).max(Depth::Ansi16)
        }
        _ => Depth::from_env(&env),
    };
    let (themes, errors) = Themes::with_folder(&setup::paths()?.config.join("themes"));
    if let Some(error) = errors.first() {
        return Err(Failure::new(Exit::Config, error));
    }
    Ok(Looks { themes, theme: config.theme.clone(), depth, glyphs })
}

/// What the engine does for the console.
struct Door {
    orders: mpsc::Sender<Order>,
    say: mpsc::UnboundedSender<Told>,
    guides: Guides,
    demo: Option<DemoHandle>,
    theme: PathBuf,
    actor: Option<String>,
    /// What is watched, and by which configuration: what is silenced is silenced there.
    watched: Arc<(Plan, Config)>,
}

impl Door {
    fn order(&self, order: Order) {
        if self.orders.try_send(order).is_err() {
            self.say.send(bad("the engine is too busy to take that".to_owned())).ok();
        }
    }
}

impl Door {
    /// Does something about silences, on a thread of its own: the ledger may have to be waited for.
    fn at_desk(&self, deed: impl FnOnce(&Desk) -> Result<String, Failure> + Send + 'static) {
        let (say, actor, watched) =
            (self.say.clone(), self.actor.clone(), Arc::clone(&self.watched));
        thread::spawn(move || {
            let (plan, config) = &*watched;
            let who = Who::current(actor.as_deref());
            let done = Desk::of(plan, config, &who).and_then(|desk| deed(&desk));
            say.send(done.map_or_else(|failure| bad(failure.to_string()), good)).ok();
        });
    }
}

impl Port for Door {
    fn retry_now(&mut self) {
        self.order(Order::RetryNow);
    }

    fn acknowledge(&mut self, alert: &Text) {
        self.order(Order::Acknowledge(alert.to_string()));
    }

    fn silence(&mut self, wish: &Wish) {
        let wish = wish.clone();
        self.at_desk(move |desk| {
            let silence = desk.add(&wish)?;
            let until = silence.until.strftime("%H:%M:%SZ");
            Ok(format!("{} is silenced until {until}", wish.about()))
        });
    }

    fn end_silence(&mut self, id: &Text) {
        let id = id.clone();
        self.at_desk(move |desk| {
            let silence = desk.end(&id, None)?;
            Ok(format!("{} may speak again", about(&silence.check, silence.subject.as_ref())))
        });
    }

    fn incident(&mut self, name: &'static str) {
        let Some(demo) = self.demo.clone() else { return };
        let say = self.say.clone();
        // Stopping a server takes seconds.
        thread::spawn(move || {
            let done = name.parse::<Incident>().and_then(|incident| incident.inject(&demo));
            let notice = match done {
                Ok(()) => good(format!("incident {name}: done")),
                Err(error) => bad(format!("incident {name}: {error}")),
            };
            say.send(notice).ok();
        });
    }

    fn guide(&mut self, wish: &GuideWish) {
        self.guides.wish(wish);
    }

    fn run(&mut self, words: &[String]) {
        let words = words.iter().map(OsString::from).collect();
        let (say, actor) = (self.say.clone(), self.actor.clone());
        // A job may take a moment to say that it has begun.
        thread::spawn(move || {
            let notice = match work::start_words(words, Who::current(actor.as_deref())) {
                Ok(id) => good(format!("it runs: `howdah jobs attach {id}` follows it")),
                Err(failure) => bad(failure.to_string()),
            };
            say.send(notice).ok();
        });
    }

    fn save_theme(&mut self, name: &str) {
        let saved = self
            .theme
            .parent()
            .map_or(Ok(()), paths::private_folder)
            .and_then(|()| fs::write(&self.theme, name));
        if let Err(error) = saved {
            tracing::warn!(%error, file = %self.theme.display(), "the theme cannot be kept");
        }
    }
}

fn good(words: String) -> Told {
    Told::Notice(Notice { text: words.into(), tone: Tone::Info })
}

fn bad(words: String) -> Told {
    Told::Notice(Notice { text: words.into(), tone: Tone::Refusal })
}
