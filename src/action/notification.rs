//! `Notification`: tells people something, in the incident's thread, in channels, by mail.
//!
//! A post is a durable queue item that chat adapters pick up; its slot is the intent's key, so that performing twice shows
//! one message. Where mail can't be sent the message is posted instead, and the output says so.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{json as to_json, parameters, reading, target};
use crate::chat::{ChannelId, Content, Post};
use crate::core::message::action as say;
use crate::core::redact::redact;
use crate::core::{BoxFuture, SharedClock, Tainted, text};
use crate::incident::Incident;
use crate::playbook::Action;
use crate::playbook::action::{Context, Error, Intent, Perform, Planned, Settle};
use crate::store::{self, Batch, Key, SharedStore};
use crate::work::{Queue, Shard};

const KIND: &str = "Notification";
/// Longest message, bytes.
const MESSAGE: usize = 8 * 1024;
/// Most recipients.
const RECIPIENTS: usize = 50;

/// Sends mail.
pub trait Mailer: Send + Sync + 'static {
    /// Hands one message over; the same key twice is one mail where the server can tell.
    fn send<'a>(
        &'a self,
        to: &'a str,
        subject: &'a str,
        body: &'a str,
        key: &'a str,
    ) -> BoxFuture<'a, Result<(), String>>;
}

/// The executor.
pub struct Notification {
    store: SharedStore,
    posts: Queue<Post>,
    mail: Option<Arc<dyn Mailer>>,
    default_channel: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Parameters {
    message: String,
    #[serde(default)]
    recipients: Vec<String>,
    #[serde(default)]
    channel: Option<String>,
}

/// Where one message goes.
enum Recipient {
    Channel(ChannelId),
    Mail(String),
}

impl Notification {
    /// Posts through the `post` queue of this store.
    #[must_use]
    pub fn new(store: SharedStore, clock: SharedClock, mail: Option<Arc<dyn Mailer>>, default_channel: String) -> Self {
        Self { posts: Queue::new("post", store.clone(), clock), store, mail, default_channel }
    }

    fn check(value: &Value) -> Result<(Parameters, Vec<Recipient>), Error> {
        let parameters: Parameters = parameters(KIND, value)?;
        if parameters.recipients.len() > RECIPIENTS {
            return Err(Error::Permanent(format!("{KIND}: more than {RECIPIENTS} recipients")));
        }
        let names = parameters.recipients.iter().chain(&parameters.channel);
        let recipients = names.map(|name| recipient(name)).collect::<Result<_, _>>()?;
        Ok((parameters, recipients))
    }

    /// The incident's channel and shard.
    async fn home(&self, context: &Context) -> Result<Option<(ChannelId, Shard)>, Error> {
        let Some(incident) = context.incident else { return Ok(None) };
        let entry = self.store.read(&Key::of(["incident", &incident.key()])).await.map_err(unavailable)?;
        let incident: Option<Incident> = entry.map(|entry| entry.decode()).transpose().map_err(unavailable)?;
        Ok(incident.map(|incident| (incident.channel, Shard::of(&incident.group_key))))
    }

    async fn deliver(&self, context: &Context, intent: &Intent) -> Result<Value, Error> {
        let (parameters, recipients) = Self::check(&intent.target)?;
        let message = text::capped(&redact(&parameters.message), MESSAGE);
        let home = self.home(context).await?;
        let mut to = Vec::new();
        let mut not_delivered = Vec::new();
        let mut channels = Vec::new();
        for recipient in recipients {
            match recipient {
                Recipient::Channel(channel) => channels.push(channel),
                Recipient::Mail(address) => match self.mail(context, intent, &address, &message).await {
                    Ok(()) => to.push(address),
                    Err(why) => not_delivered.push(json!({"to": address, "why": why})),
                },
            }
        }
        let mut batch = Batch::new();
        if let Some((channel, shard)) = &home {
            let thread = context.incident.map(|incident| incident.to_string());
            to.push(thread.clone().unwrap_or_default());
            channels.retain(|other| other != channel);
            self.post(&mut batch, *shard, context, intent, channel.clone(), thread, &message)?;
        } else if channels.is_empty() {
            // Nobody would read it: there is no thread, and mail may not have gone out.
            channels.push(ChannelId::web(self.default_channel.clone()));
        }
        for channel in channels {
            to.push(format!("#{}", channel.name));
            let shard = home.as_ref().map_or_else(|| Shard::of(&channel.name), |(_, shard)| *shard);
            self.post(&mut batch, shard, context, intent, channel, None, &message)?;
        }
        self.store.commit(batch).await.map_err(unavailable)?;
        Ok(json!({"delivered": !to.is_empty(), "to": to, "not_delivered": not_delivered}))
    }

    async fn mail(&self, context: &Context, intent: &Intent, address: &str, message: &str) -> Result<(), String> {
        let mail = self.mail.as_ref().ok_or_else(say::no_mail_server)?;
        let about = context.incident.map_or_else(|| context.run.to_string(), |incident| incident.to_string());
        let subject = format!("{about}: {}", context.task_name);
        mail.send(address, &subject, message, &format!("{}/{address}", intent.idempotency_key)).await
    }

    #[expect(clippy::too_many_arguments, reason = "one private place that builds a post")]
    fn post(
        &self,
        batch: &mut Batch,
        shard: Shard,
        context: &Context,
        intent: &Intent,
        channel: ChannelId,
        thread: Option<String>,
        message: &str,
    ) -> Result<(), Error> {
        let post = Post {
            channel,
            slot: intent.idempotency_key.clone(),
            thread,
            version: 1,
            author: "Mayday".to_owned(),
            at: context.now,
            content: Content::Text(message.to_owned()),
        };
        self.posts.push(batch, shard, &post).map_err(unavailable)?;
        Ok(())
    }
}

/// `#name`, `name`, `slack:name` are channels; something with an `@` inside is a mail address.
fn recipient(name: &str) -> Result<Recipient, Error> {
    let name = name.trim();
    let wrong = || {
        let name = text::capped(name, 80);
        Error::Permanent(format!("{KIND}: `{name}` is neither a channel like #incidents nor a mail address"))
    };
    if let Some((user, domain)) = name.split_once('@')
        && !user.is_empty()
    {
        let plain = name.len() <= 254
            && domain.contains('.')
            && Tainted::from(domain).as_name().is_ok()
            && user.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._%+-".contains(&byte));
        return if plain { Ok(Recipient::Mail(name.to_owned())) } else { Err(wrong()) };
    }
    let (chat, channel) = name.split_once(':').unwrap_or(("web", name));
    let channel = channel.trim_start_matches('#');
    let known = ["web", "slack", "discord"].contains(&chat) && Tainted::from(channel).as_name().is_ok();
    if !known {
        return Err(wrong());
    }
    Ok(Recipient::Channel(ChannelId { chat: chat.to_owned(), name: channel.to_owned() }))
}

fn unavailable(error: store::Error) -> Error {
    Error::Transient(error.to_string())
}

impl Action for Notification {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn settle(&self, _: &Value) -> Settle {
        Settle::Repeat
    }

    fn plan<'a>(&'a self, _: &'a Context, value: &'a Value) -> BoxFuture<'a, Result<Planned, Error>> {
        let planned = Self::check(value).map(|(parameters, _)| {
            let object = format!("message: {}", text::capped(&redact(&parameters.message), 200));
            reading(object, to_json(&parameters))
        });
        Box::pin(std::future::ready(planned))
    }

    fn perform<'a>(&'a self, context: &'a Context, intent: &'a Intent) -> BoxFuture<'a, Result<Perform, Error>> {
        Box::pin(async move {
            target::<Parameters>(KIND, &intent.target)?;
            self.deliver(context, intent).await.map(Perform::Done)
        })
    }
}

#[cfg(test)]
#[path = "notification_tests.rs"]
mod tests;
