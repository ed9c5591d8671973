//! Customers: a gentle, steady load on the gateway.

use std::time::Duration;

use super::part::Part;
use super::upstream::{Answer, Upstreams};
use super::{Args, Error, log};

/// One customer every so often.
const EVERY: Duration = Duration::from_millis(250);
/// At most so many wait at once: a hung shop must not be flooded on top.
const MOST_WAITING: usize = 24;

/// Buys until the parent ends.
///
/// # Errors
/// The HTTP client can't be built.
pub async fn run(args: Args) -> Result<(), Error> {
    let upstreams = Upstreams::new(Part::Load, args.upstreams)?;
    let Some(gateway) = upstreams.all().first().cloned() else {
        return Err(Error::NoGateway);
    };
    let seats = std::sync::Arc::new(tokio::sync::Semaphore::new(MOST_WAITING));
    let mut tick = tokio::time::interval(EVERY);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    loop {
        tick.tick().await;
        let Ok(seat) = std::sync::Arc::clone(&seats).try_acquire_owned() else { continue };
        let (upstreams, gateway) = (upstreams.clone(), gateway.clone());
        tokio::spawn(async move {
            let answer = upstreams.work(&gateway, Part::Gateway.work()).await;
            if answer != Answer::Fine {
                log("WARN", Part::Load, &format!("a customer left without buying: {answer:?}"));
            }
            drop(seat);
        });
    }
}
